"""The whole API under schemathesis: as many made-up requests as asked, against a server with a tiny model.

    python benchmarks/api_fuzz.py --examples 400

What is counted is what the server answered, by status; anything from 500 on is a failure, and so is an answer that the
description does not know.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.connectors.test_web_api_document import CHECKS, ENDLESS
from tests.connectors.web_house import serve, web_settings


async def main(examples: int, seed: int) -> int:
    with tempfile.TemporaryDirectory() as folder:
        config = web_settings(Path(folder), reply_tokens=8, sessions={"reply_tokens": 8})
        async with serve(config) as served:
            report = Path(folder) / "report.ndjson"
            began = time.monotonic()
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "schemathesis.cli", "run", f"{served.url}/api/openapi.json", "--checks", CHECKS),
                *("--max-examples", str(examples), "--seed", str(seed), "--phases", "coverage,fuzzing"),
                *("--exclude-path-regex", ENDLESS, "--continue-on-failure", "--no-color", "--warnings", "off"),
                *("--suppress-health-check", "all", "--report-ndjson-path", str(report)),
                cwd=folder,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
            told, _ = await process.communicate()
            seconds = time.monotonic() - began
            async with served.session.get(f"{served.url}/healthz") as answer:
                alive = answer.status == 200
            statuses = re.findall(r'"status_code":\s*(\d+)', report.read_text(encoding="utf-8")) if report.exists() else []
    print(told.decode()[-3000:])
    counted = {status: statuses.count(status) for status in sorted(set(statuses))}
    print(json.dumps({"requests": len(statuses), "by_status": counted, "seconds": round(seconds), "still_answers": alive}))
    return process.returncode or 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=400, help="per operation")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    raise SystemExit(asyncio.run(main(given.examples, given.seed)))
