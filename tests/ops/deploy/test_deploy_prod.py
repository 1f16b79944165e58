"""deploy_prod.sh against a real git and a fake container engine: what it refuses, releases, takes back, and how it ends."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
FAKE = Path(__file__).with_name("fake_docker.sh")
COPIED = (
    "ops/scripts/deploy_prod.sh",
    "ops/scripts/compose.sh",
    "ops/scripts/make_env.sh",
    "ops/scripts/rollback.sh",
    "ops/compose/env.prod.example",
    "docker-compose.prod.yml",
)
REFUSED, RELEASED, ROLLED_BACK, STUCK = 4, 0, 1, 2


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "init.defaultBranch=main"]
    done = subprocess.run(["git", *who, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@dataclass(frozen=True, slots=True)
class Host:
    """A production machine: its checkout, the repository it comes from, and its engine."""

    root: Path
    origin: Path
    engine: Path

    @property
    def env_file(self) -> Path:
        return self.root / "compose" / ".env.prod"

    def commit(self, name: str, path: str = "code.txt") -> str:
        """A new commit on main of the origin."""
        (self.origin / path).parent.mkdir(parents=True, exist_ok=True)
        (self.origin / path).write_text(name)
        git(self.origin, "add", "-A")
        git(self.origin, "commit", "-qm", name)
        return git(self.origin, "rev-parse", "HEAD")

    def run(
        self, *arguments: str, script: str = "ops/scripts/deploy_prod.sh", **more: str
    ) -> subprocess.CompletedProcess[str]:
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.root),
            "FAKE_DOCKER": str(self.engine),
            "TITAN_DOCKER": str(FAKE),
            "TITAN_COMPOSE": f"{FAKE} compose",
            "TITAN_ENV_OWNER": str(os.getuid()),
            "TITAN_MAX_DISK_PCT": "100",
            # Without waiting it still looks twice, first and last: enough for a release that fails later.
            **dict.fromkeys(("TITAN_SETTLE_S", "TITAN_VERIFY_S", "TITAN_WATCH_S", "TITAN_PAUSE_S"), "0"),
            "TITAN_MAX_ERRORS": "5",
            **more,
        }
        return subprocess.run(
            [str(self.root / script), *arguments], env=env, capture_output=True, text=True, check=False, timeout=100
        )

    def tell(self, name: str, what: str) -> None:
        (self.engine / name).write_text(what)

    def read(self, name: str) -> str:
        path = self.engine / name
        return path.read_text().strip() if path.exists() else ""

    @property
    def ledger(self) -> list[str]:
        """What happened, in order: the second column."""
        path = self.root / "state" / "releases.tsv"
        return [line.split("\t")[1] for line in path.read_text().splitlines()] if path.exists() else []

    def fill_env(self) -> None:
        made = self.run(script="ops/scripts/make_env.sh")
        assert made.returncode == 0, made.stderr
        text = self.env_file.read_text().replace("__CHANGE_ME__", "venue-key-of-a-person")
        self.env_file.write_text(text.replace("TITAN_LIVE_CONFIRM=", "TITAN_LIVE_CONFIRM=yes-trade-real-money"))


@pytest.fixture
def host(tmp_path: Path) -> Host:
    origin, root, engine = tmp_path / "origin", tmp_path / "opt", tmp_path / "engine"
    origin.mkdir()
    engine.mkdir()
    git(origin, "init", "-q")
    for name in COPIED:
        (origin / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, origin / name)
    (origin / ".gitignore").write_text("/compose/\n/state/\n")
    made = Host(root, origin, engine)
    made.commit("first")
    git(tmp_path, "clone", "-q", str(origin), str(root))
    made.fill_env()
    return made


def released(host: Host, name: str = "good") -> str:
    """A release that went well before."""
    commit = host.commit(name)
    done = host.run(commit)
    assert done.returncode == RELEASED, done.stdout + done.stderr
    return commit


def test_a_commit_that_passed_ci_is_released_and_ends_disarmed(host: Host) -> None:
    host.tell("state", "ACTIVE")
    host.tell("tag", "before")
    commit = host.commit("new")
    done = host.run(commit)
    assert done.returncode == RELEASED, done.stdout + done.stderr
    assert host.read("tag") == commit
    assert host.read("state") == "DISARMED"
    assert host.ledger == ["begin", "good"]
    assert (host.root / "state" / "last_known_good").read_text().strip() == commit
    assert git(host.root, "rev-parse", "HEAD") == commit
    assert "DISARMED; arm it by hand" in done.stdout


def test_it_disarms_and_backs_up_before_it_changes_anything(host: Host) -> None:
    host.tell("tag", "before")
    host.tell("state", "ACTIVE")
    assert host.run(host.commit("new")).returncode == RELEASED
    calls = host.read("calls").splitlines()
    first = {
        what: next(n for n, call in enumerate(calls) if what in call) for what in ("disarm", "backup", " up ", " pull ")
    }
    assert first["disarm"] < first["backup"] < first[" pull "] < first[" up "]


@pytest.mark.parametrize("how", ["dead", "sick", "policy", "books", "errors", "late", "build"])
def test_a_release_that_does_not_prove_itself_is_taken_back(host: Host, how: str) -> None:
    good = released(host)
    bad = host.commit("bad")
    host.tell(f"broken-{bad}", how)
    done = host.run(bad)
    assert done.returncode == ROLLED_BACK, done.stdout + done.stderr
    assert host.read("tag") == good
    assert host.read("state") == "DISARMED"
    assert git(host.root, "rev-parse", "HEAD") == good
    assert host.ledger[-3:] == ["begin", "bad", "rollback"]
    assert (host.root / "state" / "last_known_good").read_text().strip() == good


def test_a_release_that_arms_itself_is_taken_back(host: Host) -> None:
    good = released(host)
    bad = host.commit("bad")
    host.tell(f"broken-{bad}", "armed")
    assert host.run(bad).returncode == ROLLED_BACK
    assert (host.read("tag"), host.read("state")) == (good, "DISARMED")


def test_a_rollback_that_fails_says_so_and_stays_disarmed(host: Host) -> None:
    good = released(host)
    bad = host.commit("bad")
    host.tell(f"broken-{bad}", "sick")
    host.tell(f"broken-{good}", "dead")
    done = host.run(bad)
    assert done.returncode == STUCK
    assert "THE ROLLBACK FAILED" in done.stdout
    assert host.read("state") == "DISARMED"
    assert host.ledger[-1] == "rollback-failed"


def test_a_first_release_that_fails_has_nothing_to_go_back_to(host: Host) -> None:
    bad = host.commit("bad")
    host.tell(f"broken-{bad}", "sick")
    done = host.run(bad)
    assert done.returncode == STUCK
    assert "no earlier good release" in done.stdout


def test_a_change_of_the_schema_is_released_only_when_said_and_never_taken_back_by_code(host: Host) -> None:
    released(host)
    commit = host.commit("schema", "ops/migrations/0099_more.sql")
    refused = host.run(commit)
    assert refused.returncode == REFUSED
    assert "--with-migrations" in refused.stderr
    host.tell(f"broken-{commit}", "sick")
    done = host.run("--with-migrations", commit)
    assert done.returncode == STUCK
    assert "runbooks/rollback.md" in done.stdout
    assert host.read("tag") == commit


def test_an_asked_rollback_goes_to_the_last_good_release(host: Host) -> None:
    good = released(host)
    host.tell("tag", "something-else")
    host.tell("state", "ACTIVE")
    done = host.run(script="ops/scripts/rollback.sh")
    assert done.returncode == RELEASED, done.stdout + done.stderr
    assert (host.read("tag"), host.read("state")) == (good, "DISARMED")


def refusal(host: Host, *arguments: str) -> str:
    """What the pre-flight said; nothing may have been changed."""
    before = git(host.root, "rev-parse", "HEAD")
    done = host.run(*arguments)
    assert done.returncode == REFUSED, done.stdout + done.stderr
    assert git(host.root, "rev-parse", "HEAD") == before
    assert not any(word in host.read("calls") for word in (" up ", " build ", " pull "))
    assert host.ledger == []
    return done.stderr


def test_another_branch_is_refused(host: Host) -> None:
    git(host.root, "checkout", "-qb", "feature")
    assert "on 'feature'; only main" in refusal(host, host.commit("new"))


def test_a_commit_that_is_not_mains_head_is_refused(host: Host) -> None:
    passed = host.commit("passed")
    newer = host.commit("newer")
    assert f"main is at {newer}, the commit that passed CI is {passed}" in refusal(host, passed)


def test_a_short_or_missing_commit_is_refused(host: Host) -> None:
    assert "not a full commit" in refusal(host, host.commit("new")[:12])
    assert "name the commit" in refusal(host)


def test_a_changed_checkout_is_refused(host: Host) -> None:
    (host.root / "docker-compose.prod.yml").write_text("edited by hand")
    assert "changes of its own" in refusal(host, host.commit("new"))


def test_secrets_that_others_can_read_are_refused(host: Host) -> None:
    host.env_file.chmod(0o644)
    assert "mode and owner '644" in refusal(host, host.commit("new"))


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("HMAC_SECRET", "", "HMAC_SECRET is empty"),
        ("TITAN_DB_PASSWORD", "__CHANGE_ME__", "TITAN_DB_PASSWORD in .* placeholder"),
        ("REDIS_PASSWORD", "changeme", "REDIS_PASSWORD in .* placeholder"),
        ("NATS_BRAIN_PASSWORD", "12e4567890123456789", "must begin with a letter"),
    ],
)
def test_a_lacking_or_weak_secret_is_refused(host: Host, name: str, value: str, why: str) -> None:
    lines = [line for line in host.env_file.read_text().splitlines() if not line.startswith(f"{name}=")]
    host.env_file.write_text("\n".join([*lines, f"{name}={value}", ""]))
    assert (
        subprocess.run(["grep", "-Eq", why], input=refusal(host, host.commit("new")), text=True, check=False).returncode
        == 0
    )


def test_a_titan_that_does_not_disarm_is_left_alone(host: Host) -> None:
    host.tell("tag", "before")
    host.tell("state", "ACTIVE")
    host.tell("stuck", "yes")
    assert "could not be disarmed" in refusal(host, host.commit("new"))


def test_a_backup_that_fails_stops_the_deployment(host: Host) -> None:
    host.tell("tag", "before")
    host.tell("backup", "fails")
    assert "backup before the deployment failed" in refusal(host, host.commit("new"))
    assert host.read("state") == "DISARMED"


def test_an_unknown_option_is_refused(host: Host) -> None:
    assert "unknown option --force" in refusal(host, "--force", host.commit("new"))


def test_the_check_alone_changes_nothing(host: Host) -> None:
    commit = host.commit("new")
    done = host.run("--check", commit)
    assert done.returncode == 0, done.stderr
    assert "pre-flight passed" in done.stdout
    assert host.ledger == []
    assert "disarm" not in host.read("calls")


def test_the_verification_alone_says_what_is_wrong(host: Host) -> None:
    good = released(host)
    assert host.run("--verify").returncode == 0
    host.tell(f"broken-{good}", "policy")
    done = host.run("--verify")
    assert done.returncode == 1
    assert "different risk policies" in done.stdout


def test_fresh_secrets_are_private_distinct_and_never_overwritten(host: Host) -> None:
    text = host.env_file.read_text()
    secrets = [
        line.partition("=")[2] for line in text.splitlines() if "_PASSWORD=" in line or line.startswith("HMAC_SECRET=")
    ]
    assert len(secrets) == len(set(secrets)) == 15
    assert host.env_file.stat().st_mode & 0o777 == 0o600
    assert host.run(script="ops/scripts/make_env.sh").returncode == REFUSED
    assert host.env_file.read_text() == text


@pytest.mark.parametrize("link", ["scripts/deploy_prod.sh", "scripts/ops/deploy_prod.sh", "scripts/rollback.sh"])
def test_the_paths_of_the_runbooks_lead_to_the_scripts(link: str) -> None:
    assert (ROOT / link).resolve().is_file()
    assert os.access(ROOT / link, os.X_OK)
