"""Saving data that nobody added to DVC, when a run starts and MLFLOW_DVC_SAVE asks for it.

::

    workspace       save_workspace(): all outs of a state, and what they are then
    ├─ untracked    what DVC does not track, by the patterns of the setting
    └─ out_saver    one out: hash what is not proven, and save what the cache lacks
       ├─ proofs            what earlier runs read
       ├─ limits            MLFLOW_DVC_SAVE_MAX, and the disk
       ├─ progress_line     for a terminal
       └─ object_store      writes objects as DVC does, without a lock

Metafiles are not touched, and nothing here is imported without that setting.
"""
