//! What floe decides: plain values in, plain values out. No I/O, no clock, no logging.
#![warn(clippy::wildcard_enum_match_arm)]

pub mod artifact;
pub mod decision;
pub mod names;
pub mod policy;
pub mod request;
