//! What a user reads: the summary, the terminal, the histogram log.
