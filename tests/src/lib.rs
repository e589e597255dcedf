//! Whole-system tests live in folders of their own; this library is empty.
