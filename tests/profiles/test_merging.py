"""What a profile remembers of identifiers that have left it."""

from app.identity.regulations import identifier_hash
from app.profiles.merging import Merging

PHONE, TABLET, ANN = ("device", "phone"), ("device", "tablet"), ("user_id", "ann")
OF_PHONE, OF_TABLET = identifier_hash(PHONE), identifier_hash(TABLET)
LEFT = {OF_TABLET: ("prf_t", 1), OF_PHONE: ("prf_p", 2)}


def test_an_event_is_of_whom_it_names_that_left_first() -> None:
    merging = Merging(parted=dict(LEFT))
    assert merging.parted_of([ANN]) is None
    assert merging.parted_of([ANN, PHONE]) == ("prf_p", [PHONE])
    assert merging.parted_of([PHONE, ANN, TABLET]) == ("prf_t", [TABLET])


def test_who_comes_back_is_here_again_by_whatever_way() -> None:
    merging = Merging(parted=dict(LEFT))
    merging.add("prf_x", None, [TABLET, ANN])
    assert merging.parted == {OF_PHONE: ("prf_p", 2)}


def test_who_left_a_profile_that_becomes_part_of_this_one_has_left_this_one_unless_it_is_here() -> None:
    merging = Merging()
    merging.add("prf_x", Merging(parted=dict(LEFT)), [PHONE])
    assert merging.parted == {OF_TABLET: ("prf_t", 1)}


def test_of_two_profiles_that_it_left_it_went_farther_from_the_later() -> None:
    for mine, theirs in ((1, 5), (5, 1)):
        merging = Merging(parted={OF_TABLET: (f"prf_{mine}", mine)})
        merging.add("prf_x", Merging(parted={OF_TABLET: (f"prf_{theirs}", theirs)}), [])
        assert merging.parted == {OF_TABLET: ("prf_5", 5)}


def test_what_was_passed_on_is_remembered_for_as_long_as_it_counts_as_seen() -> None:
    merging = Merging()
    for day in (10, 11, 13):
        merging.pass_on(b"%d" % day, day, oldest_day=day - 2)
    assert merging.passed == {b"11": 11, b"13": 13}
    merging.have_come([b"11", b"12"], oldest_day=11)
    assert merging.passed == {b"13": 13}
    merging.add("prf_x", Merging(passed={b"12": 12, b"14": 14}), [])
    merging.have_come([b"14"], oldest_day=13)
    assert merging.passed == {b"13": 13}


def test_the_order_of_leaving_is_that_of_the_splits() -> None:
    merging = Merging(parted={OF_PHONE: ("prf_p", 7)})
    merging.add("prf_x", Merging(parted={OF_TABLET: ("prf_t", 3)}), [])
    assert merging.parted_of([PHONE, TABLET]) == ("prf_t", [TABLET])
