"""`dsbridge plan`: from what a user says, or a user's own files, to a job, and from layouts to an answer."""
