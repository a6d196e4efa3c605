//! Whether one candidate counts: what it says, who signed it, and whether that is proven.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use sigstore_verify::types::{
    Artifact, Bundle, CanonicalizedBody, DerCertificate, DigestBytes, DsseEnvelope, HashAlgorithm,
    InclusionPromise, KindVersion, LogId, LogIndex, LogKeyId, MediaType, MessageDigest,
    MessageSignature, Sha256Hash, SignatureBytes, SignatureContent, SignedTimestamp,
    TransparencyLogEntry, VerificationMaterial, VerificationMaterialContent, X509Certificate,
};
use sigstore_verify::{VerificationPolicy, VerificationResult};

use super::find::Content;
use super::trust::Trust;
use crate::domain::artifact::Digest;
use crate::domain::signature::{Unfit, shown, simple_signing, statement};

const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
const CERTIFICATE: &str = "dev.sigstore.cosign/certificate";
const CHAIN: &str = "dev.sigstore.cosign/chain";
const LOG_ENTRY: &str = "dev.sigstore.cosign/bundle";
/// Most of what the verifier says that a message repeats, in characters.
const SHOWN: usize = 160;
/// Most of an identity that the status holds, in characters.
const IDENTITY_MAX: usize = 1000;

type Counts = Result<String, Unfit>;

/// Whose signature of the artifact this is.
///
/// # Errors
/// Why it does not count.
pub(super) fn check(content: &Content, about: &Digest, trust: &Trust) -> Counts {
    match content {
        Content::Bundle(bytes) => bundle(bytes, about, trust),
        Content::Simple {
            payload,
            annotations,
        } => simple(payload, annotations, about, trust),
        Content::Unread(why) => wrong(why.clone()),
    }
}

fn bundle(bytes: &[u8], about: &Digest, trust: &Trust) -> Counts {
    let bundle: Bundle = match serde_json::from_slice(bytes) {
        Ok(bundle) => bundle,
        Err(why) => {
            let why = shown(&why.to_string(), SHOWN);
            return wrong(format!("it is no Sigstore bundle: {why}"));
        }
    };
    let SignatureContent::DsseEnvelope(envelope) = &bundle.content else {
        return wrong("it signs bytes, and not an artifact as 'cosign sign' does".to_owned());
    };
    let DsseEnvelope {
        payload_type,
        payload,
        signature,
        ..
    } = envelope;
    statement(payload_type, payload.as_bytes(), about)?;
    if let Some(by) = trust.key_of(&envelope.pae(), &signature.sig) {
        return Ok(by);
    }
    if bundle.signing_certificate().is_none() {
        return wrong(trust.no_key_fits());
    }
    let hash = Sha256Hash::from_hex(about.hex()).map_err(|why| Unfit::Wrong(why.to_string()))?;
    keyless(hash.into(), &bundle, trust)
}

/// The older form. With a certificate it is brought into the form of a bundle of its time, whose entry in the log
/// is proven by the log's promise.
fn simple(
    payload: &[u8],
    annotations: &BTreeMap<String, String>,
    about: &Digest,
    trust: &Trust,
) -> Counts {
    simple_signing(payload, about)?;
    let Some(signature) = annotations.get(SIGNATURE) else {
        return wrong(format!("it has no annotation '{SIGNATURE}'"));
    };
    let Ok(signature) = STANDARD.decode(signature.trim()) else {
        return wrong(format!("its annotation '{SIGNATURE}' is no base64"));
    };
    let signature = SignatureBytes::new(signature);
    if let Some(by) = trust.key_of(payload, &signature) {
        return Ok(by);
    }
    let Some(certificate) = annotations.get(CERTIFICATE) else {
        return wrong(trust.no_key_fits());
    };
    let chain = annotations.get(CHAIN).map_or("", String::as_str);
    let entry = annotations.get(LOG_ENTRY).map_or("", String::as_str);
    let made = bundle_of(payload, signature, certificate, chain, entry);
    let bundle = made.map_err(Unfit::Wrong)?;
    keyless(payload.into(), &bundle, trust)
}

fn keyless(artifact: Artifact<'_>, bundle: &Bundle, trust: &Trust) -> Counts {
    let Some(verifier) = trust.verifier() else {
        return wrong("it is keyless, and the policy names no identities".to_owned());
    };
    // Who signed is compared below: issuer and identity must fit the same entry of the policy.
    let anybody = VerificationPolicy::any_identity();
    let proven = match verifier.verify(artifact, bundle, &anybody) {
        Ok(proven) => proven,
        Err(why) => return wrong(shown(&why.to_string(), SHOWN)),
    };
    let complete = proven.certificate_verified() && proven.sct_verified() && proven.tlog_verified();
    let Some((issuer, identity)) = signer(&proven).filter(|_| complete) else {
        return wrong("its certificate does not say who signed".to_owned());
    };
    if trust.knows(issuer, identity) {
        return Ok(format!("{} ({issuer})", shown(identity, IDENTITY_MAX)));
    }
    let (identity, issuer) = (shown(identity, SHOWN), shown(issuer, SHOWN));
    wrong(format!(
        "it is signed by '{identity}' of '{issuer}', which fits no entry of keyless"
    ))
}

fn signer(proven: &VerificationResult) -> Option<(&str, &str)> {
    Some((proven.issuer()?, proven.identity()?.as_str()))
}

/// The log's entry as cosign has kept it in an annotation.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct LogEntry {
    signed_entry_timestamp: String,
    payload: LogPayload,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LogPayload {
    body: String,
    integrated_time: i64,
    log_index: u64,
    #[serde(rename = "logID")]
    log_id: String,
}

fn bundle_of(
    payload: &[u8],
    signature: SignatureBytes,
    certificate: &str,
    chain: &str,
    entry: &str,
) -> Result<Bundle, String> {
    let of_annotation = |name: &str, why: &dyn std::fmt::Display| {
        let why = shown(&why.to_string(), SHOWN);
        format!("its annotation '{name}' cannot be read: {why}")
    };
    let mut certificates = Vec::new();
    for (name, pem) in [(CERTIFICATE, certificate), (CHAIN, chain)] {
        for one in pem_blocks(pem) {
            let read = DerCertificate::from_pem(one).map_err(|why| of_annotation(name, &why))?;
            certificates.push(X509Certificate::new(read));
        }
    }
    if entry.is_empty() {
        return Err(format!(
            "it has no annotation '{LOG_ENTRY}', so no log knows it"
        ));
    }
    let entry: LogEntry =
        serde_json::from_str(entry).map_err(|why| of_annotation(LOG_ENTRY, &why))?;
    let entry = log_entry(&entry).map_err(|why| of_annotation(LOG_ENTRY, &why))?;
    let digest = DigestBytes::new(sha2_of(payload));
    let content = MessageSignature::new(signature)
        .with_message_digest(MessageDigest::new(HashAlgorithm::Sha2256, digest));
    let material = VerificationMaterialContent::X509CertificateChain { certificates };
    Ok(Bundle::new(
        MediaType::Bundle0_1,
        VerificationMaterial::new(material).with_tlog_entries(vec![entry]),
        SignatureContent::MessageSignature(content),
    ))
}

fn log_entry(entry: &LogEntry) -> Result<TransparencyLogEntry, String> {
    let LogEntry {
        signed_entry_timestamp,
        payload,
    } = entry;
    let words = |why: &dyn std::fmt::Display| why.to_string();
    let log_id = hex::decode(&payload.log_id).map_err(|why| words(&why))?;
    let body = CanonicalizedBody::from_base64(&payload.body).map_err(|why| words(&why))?;
    let time = jiff::Timestamp::from_second(payload.integrated_time).map_err(|why| words(&why))?;
    let promise =
        SignedTimestamp::from_base64(signed_entry_timestamp).map_err(|why| words(&why))?;
    let index = LogIndex::new(payload.log_index).map_err(|why| words(&why))?;
    let id = LogId::new(LogKeyId::from_bytes(&log_id));
    Ok(
        TransparencyLogEntry::new(index, id, KindVersion::HashedRekordV001, body)
            .with_integrated_time(time)
            .with_inclusion_promise(InclusionPromise::new(promise)),
    )
}

/// The single blocks of a text in PEM.
fn pem_blocks(text: &str) -> impl Iterator<Item = &str> {
    const END: &str = "-----END CERTIFICATE-----";
    text.split_inclusive(END)
        .map(str::trim)
        .filter(|block| !block.is_empty())
}

fn sha2_of(bytes: &[u8]) -> Vec<u8> {
    use sha2::Digest as _;
    sha2::Sha256::digest(bytes).to_vec()
}

fn wrong(why: String) -> Counts {
    Err(Unfit::Wrong(why))
}
