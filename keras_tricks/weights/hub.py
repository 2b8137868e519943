"""Download a checkpoint from the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path

FILE = "model.safetensors"
"""Name of the file of weights in the repositories of timm."""


def download(repository: str) -> Path:
    """Return the file of weights of a repository, downloaded unless it is in the cache of `huggingface_hub`.

    Args:
        repository: Its id, such as `"timm/dm_nfnet_f0.dm_in1k"`.

    Raises:
        ImportError: If `huggingface_hub` is not installed.
        ConnectionError: If the hub cannot be reached and the file is not in the cache.
        ValueError: If the hub has no such repository or file, or does not give it.
    """
    try:
        import huggingface_hub
        from huggingface_hub import errors
    except ImportError as error:
        raise ImportError(
            "Expected huggingface_hub to be installed, to load from the Hugging Face hub: "
            "pip install 'keras-tricks[weights]'. Or download the file and give its path. "
            f"Received: source={repository!r}"
        ) from error
    try:
        return Path(huggingface_hub.hf_hub_download(repository, FILE))
    except errors.LocalEntryNotFoundError as error:
        raise ConnectionError(
            f"Expected a network, or {FILE} of {repository} in the cache of huggingface_hub. Where there is "
            f"a network, run: hf download {repository} {FILE}, and give the path of that file. "
            f"Received: source={repository!r}"
        ) from error
    except (errors.HfHubHTTPError, errors.EntryNotFoundError, errors.HFValidationError) as error:
        raise ValueError(
            f"Expected a public repository on the Hugging Face hub with a file {FILE}. "
            f"Received: source={repository!r}, for which the hub says: {error}"
        ) from error
