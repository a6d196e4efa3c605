//! Signatures of an artifact: what one says about which digest, whose it is, and what all of them come to.

mod claim;
mod identity;
mod verdict;

pub use claim::{SIGNATURE_TYPE, Unfit, simple_signing, statement};
pub use identity::{Identity, InvalidPattern};
pub use verdict::{ObservedSignature, Verdict};

/// Text out of a registry, as a message shows it: short, and without control characters.
pub fn shown(text: &str, most: usize) -> String {
    let clean = |letter: char| if letter.is_control() { ' ' } else { letter };
    let mut short: String = text.chars().take(most).map(clean).collect();
    if text.chars().nth(most).is_some() {
        short.push_str("...");
    }
    short
}
