"""Oxen through its Python package, the same core as its command: start | commit PATH | status | mark | back. Runs in the repository's folder."""
import os
import sys

home = os.path.expanduser("~/.config/oxen")
os.makedirs(home, exist_ok=True)
with open(f"{home}/user_config.toml", "w") as file:
    file.write('name = "a"\nemail = "a@b.c"\n')
from oxen import Repo

repo = Repo(".")
if sys.argv[1] == "start":
    repo.init()
elif sys.argv[1] == "commit":
    repo.add(sys.argv[2])
    repo.commit("state")
elif sys.argv[1] == "status":
    print(str(repo.status())[:200])
elif sys.argv[1] == "mark":
    repo.checkout("second", True)
else:
    repo.checkout("main")
