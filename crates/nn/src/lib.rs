//! A small CNN engine for CPUs.
