"""Publish weights on the Hugging Face Hub, for ``nightfix weights download``.

For the maintainers: log in with ``hf auth login`` (or set HF_TOKEN), then

    python weights/publish.py nightfix-base

checks the file against the pinned SHA-256, makes the repository that the registry names
if it is not there, and uploads the weights with their model card as its README.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from nightfix import __version__
from nightfix.restore import REPOSITORIES, verify_weights

HERE = Path(__file__).parent


def main() -> None:
    """Check, then upload; with ``--dry-run`` only check."""
    parser = argparse.ArgumentParser(description="Publish weights on the Hugging Face Hub.")
    parser.add_argument("name", choices=sorted(REPOSITORIES))
    parser.add_argument("--repo-id", help="another repository than the registry's")
    parser.add_argument("--tag", default=f"v{__version__}", help="tag of the revision")
    parser.add_argument("--dry-run", action="store_true", help="upload nothing")
    chosen = parser.parse_args()
    repo_id = chosen.repo_id or REPOSITORIES[chosen.name][0]
    path, info = verify_weights(chosen.name)
    files = {path: path.name, HERE / "README.md": "README.md"}
    print(f"{path}: sha256 {info.sha256}, as pinned; license {info.license}")
    for file, name in files.items():
        print(f"{file} -> {repo_id}/{name} ({file.stat().st_size} bytes), tag {chosen.tag}")
    if not chosen.dry_run:
        publish(repo_id, files, chosen.tag)


def publish(repo_id: str, files: dict[Path, str], tag: str) -> None:
    """Upload files in one commit and tag it."""
    from huggingface_hub import CommitOperationAdd, HfApi

    api = HfApi()
    api.create_repo(repo_id, exist_ok=True)
    operations = [CommitOperationAdd(name, str(file)) for file, name in files.items()]
    commit = api.create_commit(repo_id, operations, commit_message=f"NightFix {__version__}")
    api.create_tag(repo_id, tag=tag, revision=commit.oid, exist_ok=True)
    print(commit.commit_url)


if __name__ == "__main__":
    main()
