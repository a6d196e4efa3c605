//! Certificates as Fulcio issues them.

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, CustomExtension, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, PublicKeyData as _, SanType,
    SerialNumber, SigningKey as _,
};
use sha2::{Digest as _, Sha256};

use super::log::Log;

/// OpenID Connect issuer (Fulcio's `oid-info.md`).
const ISSUER: [u64; 9] = [1, 3, 6, 1, 4, 1, 57264, 1, 8];
/// Signed certificate timestamps (RFC 6962, section 3.3).
const TIMESTAMPS: [u64; 10] = [1, 3, 6, 1, 4, 1, 11129, 2, 4, 2];

/// Who issues certificates.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate in the making.
pub(crate) struct Leaf<'a> {
    pub(crate) authority: &'a Authority,
    /// The certificate log that knows it.
    pub(crate) log: Option<&'a Log>,
    pub(crate) issuer: &'a str,
    pub(crate) identity: &'a str,
    pub(crate) code_signing: bool,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "fulcio");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.not_after = rcgen::date_time_ymd(2036, 1, 1);
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    pub(crate) fn der(&self) -> Vec<u8> {
        self.0.as_ref().der().to_vec()
    }

    pub(crate) fn pem(&self) -> String {
        self.0.as_ref().pem()
    }
}

impl Leaf<'_> {
    /// A new key and its certificate: valid on the first day of March.
    pub(super) fn issue(&self) -> (KeyPair, Certificate) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.serial_number = Some(SerialNumber::from(7_u64));
        params.not_before = rcgen::date_time_ymd(2026, 3, 1);
        params.not_after = rcgen::date_time_ymd(2026, 3, 2);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![if self.code_signing {
            ExtendedKeyUsagePurpose::CodeSigning
        } else {
            ExtendedKeyUsagePurpose::ClientAuth
        }];
        let identity = self.identity.try_into().unwrap();
        params.subject_alt_names = vec![if self.identity.starts_with("https://") {
            SanType::URI(identity)
        } else {
            SanType::Rfc822Name(identity)
        }];
        let issuer = CustomExtension::from_oid_content(&ISSUER, utf8(self.issuer));
        params.custom_extensions = vec![issuer];
        let before = params.signed_by(&key, &self.authority.0).unwrap();
        let Some(log) = self.log else {
            return (key, before);
        };
        let timestamps = timestamps(log, self.authority, tbs(before.der()));
        let known = CustomExtension::from_oid_content(&TIMESTAMPS, timestamps);
        params.custom_extensions.push(known);
        let logged = params.signed_by(&key, &self.authority.0).unwrap();
        (key, logged)
    }
}

/// The extension that proves that the log knows a certificate: a list of one.
fn timestamps(log: &Log, authority: &Authority, tbs: &[u8]) -> Vec<u8> {
    let at = u64::try_from(super::SIGNED_AT).unwrap() * 1000;
    let mut signed = vec![0, 0];
    signed.extend(at.to_be_bytes());
    signed.extend([0, 1]);
    signed.extend(Sha256::digest(authority.0.key().subject_public_key_info()));
    signed.extend(&u32::try_from(tbs.len()).unwrap().to_be_bytes()[1..]);
    signed.extend(tbs);
    signed.extend([0, 0]);
    let signature = log.key.sign(&signed).unwrap();
    let mut one = vec![0];
    one.extend(log.id());
    one.extend(at.to_be_bytes());
    // No extensions; SHA-256, ECDSA.
    one.extend([0, 0, 4, 3]);
    one.extend(counted(&signature));
    der(0x04, &counted(&counted(&one)))
}

/// Bytes behind their number.
fn counted(bytes: &[u8]) -> Vec<u8> {
    let mut all = u16::try_from(bytes.len()).unwrap().to_be_bytes().to_vec();
    all.extend(bytes);
    all
}

fn utf8(text: &str) -> Vec<u8> {
    der(0x0c, text.as_bytes())
}

fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut all = vec![tag];
    match content.len() {
        short @ 0..=127 => all.push(u8::try_from(short).unwrap()),
        long => {
            all.push(0x82);
            all.extend(u16::try_from(long).unwrap().to_be_bytes());
        }
    }
    all.extend(content);
    all
}

/// What is signed of a certificate: the first element of its sequence.
fn tbs(certificate: &[u8]) -> &[u8] {
    let inner = &certificate[head(certificate).0..];
    let (head, content) = head(inner);
    &inner[..head + content]
}

/// Length of an element's head, and of its content.
fn head(element: &[u8]) -> (usize, usize) {
    match element[1] {
        short @ 0..=0x7f => (2, usize::from(short)),
        long => {
            let digits = usize::from(long & 0x7f);
            let length = element[2..2 + digits]
                .iter()
                .fold(0, |sum, digit| sum * 256 + usize::from(*digit));
            (2 + digits, length)
        }
    }
}
