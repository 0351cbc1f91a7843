"""The tools and how each does the same work: shell commands, run in a folder of the tool's own, that hold `data`, a copy of a workload.

Steps, in this order: `start` (not timed: an empty store), `ingest` the first state, `again` with nothing changed, [the data is
edited], `edit` stores the second state, `back` makes the folder the first state again, `restore` writes the first state to `out`. A
step that a tool has no notion of is left out. $EDITED is the workload's second folder.
"""
import os
import subprocess
from dataclasses import dataclass, field

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
STEPS = ["ingest", "again", "edit", "back", "restore"]
EDIT_IN_PLACE = "rsync -a --delete $EDITED/ data/"
GIT = "git init -q && git config gc.auto 0"
AUTHOR = {f"GIT_{role}_{part}": "a@b" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")}


@dataclass
class Tool:
    """A tool's name, the command that tells its version, its timed steps, the folder of its bytes, and what comes before.

    `$WORK` in a value of `env` is the folder that the steps run in.
    """
    name: str
    version: str
    steps: dict
    stored: str
    start: str = "true"
    change: str = EDIT_IN_PLACE
    apt: list = field(default_factory=list)
    pip: list = field(default_factory=list)
    cargo: str = ""
    env: dict = field(default_factory=dict)


def dagset(binary):
    """Without a workspace, as a CI job ingests; and in one, as a curator works."""
    quiet = f"{binary} -q --no-progress"
    into = f"{quiet} ingest data --into ./store/set"
    yield Tool(
        "dagset ingest", f"{binary} --version", stored="store", start=f"{quiet} store create ./store",
        steps={"ingest": f"{into} --create --as 1", "again": into, "edit": f"{into} --as 2",
               "restore": f"{quiet} get ./store/set@1 out"},
    )
    yield Tool(
        "dagset workspace", f"{binary} --version", stored="data/.dagset", start=f"{quiet} -C data init",
        steps={"ingest": f"{quiet} -C data commit -a --as 1", "again": f"{quiet} -C data status",
               "edit": f"{quiet} -C data commit -a --as 2", "back": f"{quiet} -C data switch 1",
               "restore": f"{quiet} get ./data@1 out"},
        change=EDIT_IN_PLACE.replace("--delete", "--delete --exclude=/.dagset"),
    )


def backups():
    """Tools that keep many states of a folder in a store of their own, and no working copy."""
    for name, install in [("restic", {"apt": ["restic"]}), ("rustic", {"cargo": "rustic-rs"})]:
        backup = f"{name} -r store backup data"
        first = f"""{name} -r store snapshots --json | grep -oE '"id": ?"[0-9a-f]+' | grep -oE '[0-9a-f]+$' | head -1 > first"""
        restore = f"{name} -r store restore $(cat first)"
        yield Tool(
            name, f"{name} version 2> /dev/null || {name} --version", stored="store", **install,
            env={"RESTIC_PASSWORD": "x", "RUSTIC_PASSWORD": "x"}, start=f"{name} -r store init", change=f"{first}; {EDIT_IN_PLACE}",
            steps={"ingest": backup, "again": backup, "edit": backup, "restore": f"{restore} --target out" if name == "restic" else f"{restore} out"},
        )
    yield Tool(
        "borg", "borg --version", stored="store", apt=["borgbackup"],
        env={"BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes", "BORG_RELOCATED_REPO_ACCESS_IS_OK": "yes"},
        start="borg init -e none store",
        steps={"ingest": "borg create store::1 data", "again": "borg create store::again data", "edit": "borg create store::2 data",
               "restore": "mkdir out && cd out && borg extract ../store::1"},
    )
    xet = f"$VENV/bin/python {HERE}/xet.py"
    yield Tool(
        "hf_xet", "$VENV/bin/pip show hf_xet | grep ^Version", stored="store", pip=["hf_xet"], start="mkdir store",
        steps={"ingest": f"{xet} put store data 1.json", "again": f"{xet} put store data again.json",
               "edit": f"{xet} put store data 2.json", "restore": f"{xet} get store out 1.json"},
    )


def versioners():
    """Tools that keep a working copy beside their store."""
    replace = "chmod -R u+w data; rm -rf data; cp -a $EDITED data"
    dvc = "$VENV/bin/dvc"
    yield Tool(
        "DVC", f"{dvc} --version", stored=".dvc/cache", pip=["dvc[s3]"], apt=["git"],
        env={"DVC_NO_ANALYTICS": "1", "DVC_SITE_CACHE_DIR": "$WORK/site"},
        start=f"{GIT} && {dvc} init -q && {dvc} config core.check_update false && {dvc} config core.analytics false",
        steps={"ingest": f"{dvc} add -q data && git add -A . ':!site' && git commit -qm 1", "again": f"{dvc} status -q",
               "edit": f"{dvc} add -q data && git add -A . ':!site' && git commit -qm 2", "back": f"git checkout -q HEAD~1 && {dvc} checkout -q",
               "restore": f"git clone -q . out && cd out && {dvc} cache dir ../.dvc/cache && {dvc} checkout -q"},
    )
    yield Tool(
        "git-lfs", "git lfs version", stored=".git", apt=["git", "git-lfs"],
        start=f"{GIT} && git lfs install --local && git lfs track 'data/**' && git add .gitattributes && git commit -qm 0",
        steps={"ingest": "git add . && git commit -qm 1", "again": "git status --short",
               "edit": "git add . && git commit -qm 2", "back": "git checkout -q HEAD~1",
               "restore": "git worktree add -q out HEAD"},
    )
    yield Tool(
        "git-annex", "git annex version | head -1", stored=".git", apt=["git", "git-annex"], change=replace,
        start=f"{GIT} && git annex init -q",
        steps={"ingest": "git annex add -q -J2 data && git commit -qm 1", "again": "git annex status",
               "edit": "git annex add -q -J2 data && git add -A data && git commit -qm 2", "back": "git checkout -q HEAD~1",
               "restore": "git clone -q . out && cd out && git annex init -q && git annex get -q -J2 data"},
    )
    oxen = f"$VENV/bin/python {HERE}/oxen_driver.py"
    yield Tool(
        "Oxen", "$VENV/bin/pip show oxenai | grep ^Version", stored=".oxen", pip=["oxenai"], change=f"{oxen} mark && {replace}",
        start=f"{oxen} start",
        steps={"ingest": f"{oxen} commit data", "again": f"{oxen} status", "edit": f"{oxen} commit data", "back": f"{oxen} back"},
    )


def limits():
    """What the machine can do: no store, no history."""
    yield Tool("cp -r", "cp --version | head -1", stored="copy", steps={"ingest": "cp -r data copy", "restore": "cp -r data out"})
    yield Tool("cp -rl", "cp --version | head -1", stored="", steps={"restore": "cp -rl data out"})
    yield Tool("b3sum", "b3sum --version", apt=["b3sum"], stored="",
               steps={"ingest": "find data -type f -print0 | xargs -0 b3sum > sums", "again": "find data -type f -print0 | xargs -0 b3sum > sums"})
    yield Tool("find", "find --version | head -1", stored="", steps={"again": "find data -printf '%s %T@ %p\\n' > seen"})
    yield Tool("tar+zstd -3", "zstd --version | grep -o v[0-9.]*", apt=["zstd"], stored="archive.zst",
               steps={"ingest": "tar c data | zstd -q -3 -T2 -o archive.zst", "restore": "mkdir out && zstd -dcq archive.zst | tar x -C out"})


def all_tools(binary):
    return [*dagset(binary), *limits(), *backups(), *versioners()]


def install(tool, place):
    """Installs a tool from the public registries; answers its environment, or None, with the reason on stderr, where it can't be had."""
    env = dict(os.environ, HOME=f"{place}/home", **AUTHOR)
    env["VENV"] = f"{ROOT}/target/peers/{tool.name}"
    env["PATH"] = f"{ROOT}/target/peers/bin:" + env["PATH"]
    commands = []
    if missing := [package for package in tool.apt if not installed(package)]:
        commands.append(["apt-get", "install", "-y", "--no-install-recommends", *missing])
    if tool.pip and not os.path.exists(f"{env['VENV']}/bin/pip"):
        commands += [["python3", "-m", "venv", env["VENV"]], [f"{env['VENV']}/bin/pip", "install", "-q", *tool.pip]]
    if tool.cargo and not os.path.exists(f"{ROOT}/target/peers/bin/{tool.name}"):
        commands.append(["cargo", "install", "--locked", "--quiet", "--root", f"{ROOT}/target/peers", tool.cargo])
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            print(f"left out: {tool.name}: {' '.join(command)}: {last}", flush=True)
            return None
    return env


def installed(package):
    return subprocess.run(["dpkg", "-s", package], capture_output=True).returncode == 0
