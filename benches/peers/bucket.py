"""What each tool asks of a bucket: requests and bytes on the wire, counted in the server's own log, for small files.

Steps as in tools.py, but that what is stored is in the bucket when a step ends; `restore` reads it on a machine that has nothing yet:
its command runs in an empty folder, with an empty home.
"""
import os
import re
import shutil
import subprocess
import tempfile

import data
import tools

STEPS = ["ingest", "again", "edit", "restore"]
WORDS = {"ingest": "first state stored", "again": "nothing changed", "edit": "edited state stored", "restore": "edited state read on another machine"}
SERVER = f"{tools.ROOT}/scripts/s3-server"
LINE = re.compile(r'beast: .*? "(\w+) (\S+) HTTP/[0-9.]+" (\d+) (\d+) ')


def bucket_tools(binary, endpoint):
    """The tools that keep what they store in a bucket by themselves."""
    quiet = f"{binary} -q --no-progress"
    store = "s3://test/dagset/set"
    yield tools.Tool(
        "dagset ingest", "", stored="", start=f"{quiet} store create s3://test/dagset",
        steps={"ingest": f"{quiet} ingest data --into {store} --create --as 1", "again": f"{quiet} ingest data --into {store}",
               "edit": f"{quiet} ingest data --into {store} --as 2", "restore": f"{quiet} get {store} out"},
    )
    for name, repository, options in [
        ("restic", f"s3:{endpoint}/test/restic", ""),
        ("rustic", "opendal:s3", f"endpoint={endpoint} bucket=test root=/rustic region=us-east-1"),
    ]:
        env = {"RESTIC_PASSWORD": "x", "RUSTIC_PASSWORD": "x", "RUSTIC_REPOSITORY": repository, "RESTIC_REPOSITORY": repository}
        env |= {f"OPENDAL_{key.upper()}": value for key, value in (pair.split("=") for pair in options.split())}
        yield tools.Tool(
            name, "", stored="", start=f"{name} init", env=env, apt=["restic"] if name == "restic" else [], cargo="" if name == "restic" else "rustic-rs",
            steps={"ingest": f"{name} backup data", "again": f"{name} backup data", "edit": f"{name} backup data",
                   "restore": f"{name} restore latest --target out" if name == "restic" else f"{name} restore latest out"},
        )
    dvc = "$VENV/bin/dvc"
    yield tools.Tool(
        "DVC", "", stored="", pip=["dvc[s3]"], apt=["git"], env={"DVC_NO_ANALYTICS": "1", "DVC_SITE_CACHE_DIR": "$WORK/site"},
        start=f"{tools.GIT} && {dvc} init -q && {dvc} remote add -d far s3://test/dvc && {dvc} remote modify far endpointurl {endpoint}",
        steps={"ingest": f"{dvc} add -q data && {dvc} push -q && git add -A . ':!site' && git commit -qm 1", "again": f"{dvc} status -q && {dvc} push -q",
               "edit": f"{dvc} add -q data && {dvc} push -q", "restore": f"git clone -q $FIRST . && {dvc} pull -q"},
    )
    far = ":s3,provider=Ceph,env_auth=true:test/rclone"
    copy = f"rclone sync --s3-endpoint {endpoint} --s3-no-check-bucket"
    yield tools.Tool(
        "rclone sync", "", stored="", apt=["rclone"],
        steps={"ingest": f"{copy} data {far}", "again": f"{copy} data {far}", "edit": f"{copy} data {far}", "restore": f"{copy} {far} out"},
    )


def measure(binary, place, scale, timeout, shell, wanted):
    """A row for each tool (of those wanted, if any are named) and step: requests by verb, bytes received. `shell` runs a command or fails."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="dagset-peers-", dir=place) as folder:
        server = f"{folder}/server"
        endpoint = subprocess.run([SERVER, "start", server], check=True, capture_output=True, text=True).stdout.strip()
        try:
            first, edited = data.make("labels", folder, scale)
            for tool in bucket_tools(binary, endpoint):
                if wanted and tool.name not in wanted:
                    continue
                env = tools.install(tool, folder)
                if env is None:
                    continue
                env.pop("AWS_CA_BUNDLE", None)
                env |= {"EDITED": edited, "AWS_ENDPOINT_URL": endpoint, "AWS_ACCESS_KEY_ID": "testkey123", "AWS_SECRET_ACCESS_KEY": "testsecret123",
                        "AWS_REGION": "us-east-1"}
                work = f"{folder}/work"
                os.makedirs(f"{folder}/home", exist_ok=True)
                os.mkdir(work)
                try:
                    rows += steps(tool, env, first, work, f"{server}/log/client.rgw.log", timeout, shell)
                except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
                    print(f"failed: {tool.name}, bucket: {error.cmd[-1]}: {(error.stderr or '')[-400:]}", flush=True)
                for old in (work, f"{folder}/home", f"{folder}/elsewhere"):
                    shutil.rmtree(old, ignore_errors=True)
        finally:
            subprocess.run([SERVER, "stop", server], capture_output=True)
    return rows


def steps(tool, env, first, work, log, timeout, shell):
    env |= {key: value.replace("$WORK", work) for key, value in tool.env.items()}
    shell(f"cp -a {first} data && {{ {tool.start}; }}", work, env, timeout)
    for step in STEPS:
        where = work
        if step == "edit":
            shell(tool.change, work, env, timeout)
        if step == "restore":
            where = f"{os.path.dirname(work)}/elsewhere"
            os.mkdir(where)
            env = dict(env, HOME=where, FIRST=work)
        begun = os.path.getsize(log)
        shell(tool.steps[step], where, env, timeout)
        yield {"tool": tool.name, "step": step, **counted(log, begun)}


def counted(log, begun):
    """Requests by verb and bytes of answers that the server logged since `begun`."""
    verbs, received = {}, 0
    with open(log, errors="replace") as file:
        file.seek(begun)
        for verb, _, _, size in LINE.findall(file.read()):
            verbs[verb] = verbs.get(verb, 0) + 1
            received += int(size)
    return {"verbs": verbs, "received": received}
