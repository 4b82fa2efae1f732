"""`headwater`, where who joins an account brings nearly everything along in pieces (`-m tests.faults.in_pieces`)."""

from app.__main__ import main
from app.stages import reports

if __name__ == "__main__":
    reports.PIECE_BYTES = 24
    main()
