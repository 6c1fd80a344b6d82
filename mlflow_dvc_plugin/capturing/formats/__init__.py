"""The formats that DVC reads: YAML, ``.dvc`` files, and ``dvc.yaml`` with ``dvc.lock``."""
