"""The campaign in small: the same code as ``benchmarks/campaign.py``, in seconds."""

import pytest

from benchmarks.campaign_disk import run_disk_full
from benchmarks.campaign_flood import run_flood
from benchmarks.campaign_fuzz import run_fuzz
from benchmarks.campaign_soak import run_soak


async def test_in_a_flood_every_message_is_answered_or_its_channel_is_told(tmp_path):
    """Inboxes of four and a slow model: what does not fit is skipped, and said to be."""
    flood = await run_flood(tmp_path, messages=80, seconds=0.5, people=5, channels=4, pause=0.02, inbox=4)

    assert flood.accepted == flood.sent == 80
    assert flood.states["answered"] + flood.states.get("skipped", 0) == 80
    assert flood.told_full == 4 and flood.states["skipped"] > 0
    assert flood.clean


async def test_damaged_settings_requests_and_updates_crash_nothing(tmp_path):
    fuzz = await run_fuzz(tmp_path, count=400, seed=11)

    assert (fuzz.crashes, fuzz.speechless, fuzz.silent) == ([], [], [])
    assert fuzz.tried == {"config": 160, "page": 80, "telegram": 80, "discord": 80}
    assert 0 < fuzz.refused["page"] < 80


async def test_a_disk_that_fills_up_at_any_write_loses_and_doubles_nothing(tmp_path):
    """The channel is told once, and the turn goes on where it stood when there is room."""
    full = await run_disk_full(tmp_path / "disk", rounds=16)
    if full.impossible:
        pytest.skip(full.impossible)

    assert (full.lost, full.doubled, full.untold, full.damaged) == ([], [], [], [])
    assert full.refused and full.met, "the disk was never full at the right moment"


async def test_a_soak_counts_turns_memory_and_files(tmp_path):
    soak = await run_soak(tmp_path, seconds=600, turns=24)

    assert 24 <= soak.turns <= 32
    assert soak.database_mb > 0
