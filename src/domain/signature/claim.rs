//! What a signed text says, and about which digest. Whether it is signed is another question.

use serde::Deserialize;

use super::shown;
use crate::domain::artifact::Digest;
use crate::domain::record::STATEMENT_TYPE;

/// Type of the predicate by which `cosign sign` signs an artifact.
///
/// No other counts as its signature. A build system signs SBOMs and scan results with the same key, also of
/// artifacts that nobody released.
pub const SIGNATURE_TYPE: &str = "https://sigstore.dev/cosign/sign/v1";
/// Versions of the statement: cosign writes the first.
const STATEMENTS: [&str; 2] = [
    "https://in-toto.io/Statement/v0.1",
    "https://in-toto.io/Statement/v1",
];
/// What `cosign sign` has written into the older form.
const SIMPLE_SIGNING: &str = "cosign container image signature";
/// Most of a text that a message repeats, in characters.
const SHOWN: usize = 100;

/// Why something is not the signature of the artifact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// It says something else about the artifact than "signed": the type of its predicate.
    Attestation(String),
    /// It does not count: a sentence.
    Wrong(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Statement {
    #[serde(rename = "_type")]
    form: String,
    subject: Vec<Subject>,
    predicate_type: String,
}

#[derive(Deserialize)]
struct Subject {
    digest: Hashes,
}

#[derive(Deserialize)]
struct Hashes {
    #[serde(default)]
    sha256: Option<String>,
}

#[derive(Deserialize)]
struct SimpleSigning {
    critical: Critical,
}

#[derive(Deserialize)]
struct Critical {
    image: Image,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Image {
    docker_manifest_digest: String,
}

/// Whether the payload of a bundle says that the artifact of this digest is signed.
///
/// # Errors
/// What it says instead.
pub fn statement(payload_type: &str, payload: &[u8], about: &Digest) -> Result<(), Unfit> {
    if payload_type != STATEMENT_TYPE {
        let kind = shown(payload_type, SHOWN);
        return wrong(format!(
            "its payload is of type '{kind}', not '{STATEMENT_TYPE}'"
        ));
    }
    let said: Statement = match serde_json::from_slice(payload) {
        Ok(said) => said,
        Err(why) => {
            let why = shown(&why.to_string(), SHOWN);
            return wrong(format!("its payload is no in-toto statement: {why}"));
        }
    };
    if !STATEMENTS.contains(&said.form.as_str()) {
        let kind = shown(&said.form, SHOWN);
        return wrong(format!("its payload is of the unknown type '{kind}'"));
    }
    if said.predicate_type != SIGNATURE_TYPE {
        return Err(Unfit::Attestation(shown(&said.predicate_type, SHOWN)));
    }
    let hashes = || {
        said.subject
            .iter()
            .filter_map(|subject| subject.digest.sha256.as_deref())
    };
    match (hashes().any(|hash| hash == about.hex()), hashes().next()) {
        (true, _) => Ok(()),
        (false, Some(other)) => wrong(format!(
            "it is the signature of another artifact, sha256:{}",
            shown(other, 64)
        )),
        (false, None) => wrong("it names its artifact without a sha256 digest".to_owned()),
    }
}

/// Whether a payload of the older form says that the artifact of this digest is signed.
///
/// # Errors
/// What it says instead.
pub fn simple_signing(payload: &[u8], about: &Digest) -> Result<(), Unfit> {
    let said: SimpleSigning = match serde_json::from_slice(payload) {
        Ok(said) => said,
        Err(why) => {
            let why = shown(&why.to_string(), SHOWN);
            return wrong(format!("its payload cannot be read: {why}"));
        }
    };
    if said.critical.kind != SIMPLE_SIGNING {
        let kind = shown(&said.critical.kind, SHOWN);
        return wrong(format!("its payload is a '{kind}', not a signature"));
    }
    let named = said.critical.image.docker_manifest_digest;
    if named != about.as_str() {
        let named = shown(&named, SHOWN);
        return wrong(format!("it is the signature of another artifact, {named}"));
    }
    Ok(())
}

fn wrong(why: String) -> Result<(), Unfit> {
    Err(Unfit::Wrong(why))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn signed(subject: &Value) -> Value {
        json!({ "_type": STATEMENTS[0], "predicateType": SIGNATURE_TYPE, "subject": subject, "predicate": {} })
    }

    fn read(said: &Value) -> Result<(), Unfit> {
        statement(
            STATEMENT_TYPE,
            said.to_string().as_bytes(),
            &Digest::of(b"app"),
        )
    }

    #[test]
    fn a_statement_signs_the_artifact_whose_sha256_it_names() {
        let (ours, other) = (Digest::of(b"app"), Digest::of(b"other"));
        let one = json!([{ "name": "", "digest": { "sha256": ours.hex() } }]);
        assert_eq!(read(&signed(&one)), Ok(()));
        let among = json!([{ "digest": { "sha256": other.hex() } }, { "digest": { "sha256": ours.hex() } }]);
        assert_eq!(read(&signed(&among)), Ok(()));
        for (subject, why) in [
            (
                json!([{ "digest": { "sha256": other.hex() } }]),
                "another artifact",
            ),
            (
                json!([{ "digest": { "sha512": "00" } }]),
                "without a sha256",
            ),
            (json!([]), "without a sha256"),
            (
                json!([{ "digest": { "sha256": ours.hex().to_uppercase() } }]),
                "another artifact",
            ),
        ] {
            let Err(Unfit::Wrong(said)) = read(&signed(&subject)) else {
                panic!("{subject} counts");
            };
            assert!(said.contains(why), "{said}");
        }
    }

    #[test]
    fn an_attestation_is_no_signature_and_a_key_that_occurs_twice_is_an_error() {
        let ours = json!([{ "digest": { "sha256": Digest::of(b"app").hex() } }]);
        let mut sbom = signed(&ours);
        sbom["predicateType"] = json!("https://spdx.dev/Document");
        let unfit = Unfit::Attestation("https://spdx.dev/Document".to_owned());
        assert_eq!(read(&sbom), Err(unfit));
        let mut strange = signed(&ours);
        strange["_type"] = json!("https://example.org/v9");
        assert!(matches!(read(&strange), Err(Unfit::Wrong(_))));
        let twice = signed(&ours)
            .to_string()
            .replacen('{', r#"{"subject":[],"#, 1);
        let said = statement(STATEMENT_TYPE, twice.as_bytes(), &Digest::of(b"app"));
        assert!(matches!(said, Err(Unfit::Wrong(why)) if why.contains("duplicate")));
        let other = statement("text/plain", b"{}", &Digest::of(b"app"));
        assert!(matches!(other, Err(Unfit::Wrong(why)) if why.contains("text/plain")));
    }

    #[test]
    fn the_older_form_signs_the_digest_that_it_names() {
        let ours = Digest::of(b"app");
        let payload = |digest: &str, kind: &str| {
            json!({ "critical": {
                "identity": { "docker-reference": "r.example/app" },
                "image": { "docker-manifest-digest": digest },
                "type": kind,
            }, "optional": null })
            .to_string()
        };
        let read = |text: String| simple_signing(text.as_bytes(), &ours);
        assert_eq!(read(payload(ours.as_str(), SIMPLE_SIGNING)), Ok(()));
        let other = Digest::of(b"other");
        assert!(read(payload(other.as_str(), SIMPLE_SIGNING)).is_err());
        assert!(read(payload(ours.as_str(), "atomic container signature")).is_err());
        assert!(read("[]".to_owned()).is_err());
    }
}
