"""``python -m bench``: measure, print, and write results.json and the README's table. README.md explains it."""

import argparse
import asyncio
import sys

from bench import bill, crowd, floors, intake, json_calls, memory, pace, peers, report, start, steps, stream_calls

MODULES = (json_calls, stream_calls, pace, steps, floors, start, crowd, memory, intake, bill)
SECTIONS = {module.NAME: module for module in MODULES}

# What the control plane can book depends on its disk.
ON_DISK = (intake.NAME,)


async def main(options: argparse.Namespace) -> int:
    """0 when every target that was measured is met, else 1."""
    document = report.read()
    met = True
    for name in options.only or SECTIONS:
        module = SECTIONS[name]
        async with peers.running(module.PEERS, on_disk=name in ON_DISK) as field:
            section = await module.measure(field, quick=options.quick)
        report.show(section)
        met = met and all(target.met for target in section.targets)
        if not options.quick:
            document = report.merge(document, section)
            report.write(document)
    return 0 if met else 1


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the main cases, and nothing is written")
    parser.add_argument("--only", action="append", choices=SECTIONS, help="one section; may be given again")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(asyncio.run(main(read_options())))
