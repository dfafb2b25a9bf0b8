"""failed.py FILE: what the failed tests of go test -json said."""

import collections
import json
import sys

said = collections.defaultdict(list)
for line in open(sys.argv[1]):
    try:
        event = json.loads(line)
    except ValueError:
        print(line, end="")  # of the compiler
        continue
    key = event.get("Package"), event.get("Test")
    if event["Action"] in ("output", "build-output"):
        said[key].append(event["Output"])
    elif event["Action"] == "fail":
        print(*key)
        print("".join(said[key])[-8000:])
