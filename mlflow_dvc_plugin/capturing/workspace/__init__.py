"""The workspace, compared with what the metafiles record."""
