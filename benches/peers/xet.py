"""Hugging Face's hf_xet against its store in a folder: put STORE FOLDER LIST, get STORE FOLDER LIST."""
import json
import os
import sys

import hf_xet

verb, store, folder, listing = sys.argv[1:]
session, endpoint = hf_xet.XetSession(), "local://" + os.path.abspath(store)
if verb == "put":
    paths = [os.path.join(parent, name) for parent, _, names in os.walk(folder) for name in names]
    batch = session.new_upload_commit(endpoint=endpoint)
    handles = [(path, batch.start_upload_file(path, sha256=hf_xet.SKIP_SHA256)) for path in paths]
    batch.wait_to_finish()
    infos = [(os.path.relpath(path, folder), handle.result().xet_info) for path, handle in handles]
    with open(listing, "w") as file:
        json.dump([(path, info.hash, info.file_size) for path, info in infos], file)
else:
    group = session.new_file_download_group(endpoint=endpoint)
    with open(listing) as file:
        for path, hash_, size in json.load(file):
            target = os.path.join(folder, path)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            group.start_download_file(hf_xet.XetFileInfo(hash_, size), target)
    group.wait_to_finish()
