"""The workspace: does it hold what the metafiles say?"""
