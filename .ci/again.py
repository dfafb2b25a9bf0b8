"""again.py RESULTS [FLAGS]: what failed in the results of go test -json, and whether it fails again.

Many tests hold real programs, kernels and clocks against each other, and a shared machine stands still for seconds now and
then. So a few tests that failed are run twice more, and must pass both times; each is named. A data race, a panic, a test
that hung and a package that does not build are final.
"""

import collections
import json
import re
import subprocess
import sys

FEW = 3
FINAL = re.compile(r"DATA RACE|^panic:|^fatal error:|found unexpected goroutines", re.M)


def events(lines):
    for line in lines:
        try:
            yield json.loads(line)
        except ValueError:
            print(line, end="")  # of the compiler


def failures(lines):
    said, failed = collections.defaultdict(list), []
    for event in events(lines):
        key = event.get("Package"), event.get("Test")
        if event["Action"] in ("output", "build-output"):
            said[key].append(event["Output"])
        elif event["Action"] in ("fail", "build-fail"):
            failed.append(key)
    return said, failed


def main(results, flags):
    with open(results) as lines:
        said, failed = failures(lines)
    for key in failed:
        print(*key)
        print("".join(said[key])[-8000:])
    named = {(p, t) for p, t in failed if t}
    tests = {(p, t) for p, t in named if not any(p == q and u.startswith(t + "/") for q, u in named)}  # not what holds them
    without = {p for p, t in failed if not t} - {p for p, _ in tests}  # a package that failed by none of its tests
    if not failed or without or len(tests) > FEW or any(FINAL.search("".join(said[key])) for key in failed):
        return 1
    for package, test in sorted(tests):
        pattern = "/".join(f"^{re.escape(part)}$" for part in test.split("/"))
        again = subprocess.run(["go", "test", *flags, "-count=2", f"-run={pattern}", package])
        if again.returncode:
            return 1
        print(f"failed once, and passed twice after it: {package} {test}")
    return 0


sys.exit(main(sys.argv[1], sys.argv[2:]))
