//! What AWS does with a signed request: computes the signature once more. Written after AWS's description of
//! Signature Version 4, apart from the library that makes ours.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

/// A request as it arrived; header names in lower case.
pub(crate) struct Arrived<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) query: &'a str,
    pub(crate) headers: &'a BTreeMap<String, String>,
    pub(crate) body: &'a [u8],
}

/// The signature that belongs to the request, for what its own `Authorization` says.
pub(crate) fn signature(request: &Arrived<'_>, secret: &str) -> Option<String> {
    let given = parts(request.headers.get("authorization")?)?;
    let canonical_headers: String = given
        .headers
        .split(';')
        .map(|name| {
            let value = request.headers.get(name).map(String::as_str);
            format!("{name}:{}\n", value.unwrap_or_default().trim())
        })
        .collect();
    let canonical = format!(
        "{}\n{}\n{}\n{canonical_headers}\n{}\n{}",
        request.method,
        request.path,
        request.query,
        given.headers,
        hex::encode(Sha256::digest(request.body)),
    );
    let [_, date, region, service, end] = given.scope[..] else {
        return None;
    };
    let to_sign = format!(
        "AWS4-HMAC-SHA256\n{}\n{date}/{region}/{service}/{end}\n{}",
        request.headers.get("x-amz-date")?,
        hex::encode(Sha256::digest(canonical.as_bytes())),
    );
    let key = signing_key(secret, date, region, service);
    Some(hex::encode(hmac(&key, to_sign.as_bytes())))
}

/// What an `Authorization` header names.
pub(crate) struct Given<'a> {
    /// Key id, date, region, service, `aws4_request`.
    pub(crate) scope: Vec<&'a str>,
    pub(crate) headers: &'a str,
    pub(crate) signature: &'a str,
}

pub(crate) fn parts(header: &str) -> Option<Given<'_>> {
    let rest = header.strip_prefix("AWS4-HMAC-SHA256 ")?;
    let mut words = rest.split(',').map(str::trim);
    let mut next = |name: &str| words.next()?.strip_prefix(name);
    Some(Given {
        scope: next("Credential=")?.split('/').collect(),
        headers: next("SignedHeaders=")?,
        signature: next("Signature=")?,
    })
}

fn signing_key(secret: &str, date: &str, region: &str, service: &str) -> Vec<u8> {
    let start = format!("AWS4{secret}").into_bytes();
    [date, region, service, "aws4_request"]
        .iter()
        .fold(start, |key, word| hmac(&key, word.as_bytes()))
}

/// HMAC with SHA-256 (RFC 2104); keys here are shorter than a block.
fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut block = [0_u8; 64];
    block[..key.len()].copy_from_slice(key);
    let pad = |with: u8| block.map(|byte| byte ^ with);
    let inner = Sha256::new()
        .chain_update(pad(0x36))
        .chain_update(message)
        .finalize();
    let outer = Sha256::new().chain_update(pad(0x5c)).chain_update(inner);
    outer.finalize().to_vec()
}

#[test]
fn the_examples_of_aws_give_the_signatures_that_aws_prints() {
    let secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
    assert_eq!(
        hex::encode(signing_key(secret, "20150830", "us-east-1", "iam")),
        "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9"
    );
    let headers = [
        (
            "content-type",
            "application/x-www-form-urlencoded; charset=utf-8",
        ),
        ("host", "iam.amazonaws.com"),
        ("x-amz-date", "20150830T123600Z"),
        (
            "authorization",
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, \
             SignedHeaders=content-type;host;x-amz-date, Signature=unknown",
        ),
    ];
    let headers = headers
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    let request = Arrived {
        method: "GET",
        path: "/",
        query: "Action=ListUsers&Version=2010-05-08",
        headers: &headers,
        body: b"",
    };
    assert_eq!(
        signature(&request, secret).as_deref(),
        Some("5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7")
    );
}
