"""Autologging: what a run gets in MLflow in addition to its tags.

::

    integration     autolog() and log_state(), the public functions
    hooks           MLflow creates, resumes or ends a run
      run_start     uploads the state, the metafiles and the params files;
                    remembers params values and the stamps of metrics and plots files
      run_end       logs dataset inputs, params, metrics and plots
                    or the user logs a dataset, or registers a model
      dataset_inputs, model_versions

An error in here never fails a run. It never overwrites what the user logged: everything
that could clash is logged when the run ends, and only where the run does not have it.
"""
