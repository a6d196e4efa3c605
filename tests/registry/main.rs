//! The registry client against a registry that can lie. Every lie ends in a refusal or in a
//! correct retry, and never in a tag that nobody asked for.

#![expect(clippy::disallowed_methods, reason = "the tests measure time limits")]

#[cfg(test)]
mod addresses;
mod audit;
#[cfg(test)]
mod auth;
#[cfg(test)]
mod blobs;
#[cfg(test)]
mod cleanup;
#[cfg(test)]
mod cloud;
#[cfg(test)]
mod copying;
#[cfg(test)]
#[path = "../support/registry/mod.rs"]
mod double;
#[cfg(test)]
mod drift;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod gate;
#[cfg(test)]
mod image_layout;
#[cfg(test)]
mod lists;
#[cfg(test)]
mod reading;
#[cfg(test)]
#[path = "../support/records.rs"]
mod records;
#[cfg(test)]
mod referrers;
#[cfg(test)]
mod signatures;
#[cfg(test)]
#[path = "../support/sigstore/mod.rs"]
mod sigstore;
#[cfg(test)]
mod tagging;
#[cfg(test)]
mod unpacking;
#[cfg(test)]
mod vendors;

#[cfg(test)]
use floe::domain::artifact::Tag;

#[cfg(test)]
fn tag(text: &str) -> Tag {
    text.parse().unwrap()
}
