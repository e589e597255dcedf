//! Who owns a job, what states it moves through, and in which order its workflows run.
