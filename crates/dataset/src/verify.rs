//! Verification of candidates.
