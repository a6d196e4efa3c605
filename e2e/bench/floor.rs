//! The least that the work can cost: the requests that nobody can do without, and no check but the hash of what is
//! copied.

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use reqwest::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use reqwest::{Body, Client, Response, Url};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

const MANIFESTS: &str =
    "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json";

/// `retag REPOSITORY TAG TAG`, or `copy REPOSITORY TAG REPOSITORY TAG`.
pub async fn run(arguments: &[String]) {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let client = client();
    match words[..] {
        ["retag", repository, from, to] => retag(&client, repository, from, to).await,
        ["copy", from, tag, to, new] => copy(&client, from, tag, to, new).await,
        _ => panic!("floor: {words:?}"),
    }
}

pub fn client() -> Client {
    let client = Client::builder().no_proxy().build();
    client.expect("make an HTTP client")
}

/// GET, PUT.
async fn retag(client: &Client, repository: &str, from: &str, to: &str) {
    let (media_type, bytes) = get(client, repository, from).await;
    put(client, repository, to, media_type, bytes).await;
}

/// A manifest with its media type.
pub async fn get(client: &Client, repository: &str, tag: &str) -> (String, bytes::Bytes) {
    let request = client
        .get(manifest(repository, tag))
        .header(ACCEPT, MANIFESTS);
    let answer = good(request.send().await);
    let media_type = answer.headers()[CONTENT_TYPE].to_str().expect("a type");
    let media_type = media_type.to_owned();
    (media_type, answer.bytes().await.expect("a manifest"))
}

pub async fn head(client: &Client, repository: &str, tag: &str) -> bool {
    let request = client
        .head(manifest(repository, tag))
        .header(ACCEPT, MANIFESTS);
    let answer = request.send().await.expect("an answer");
    answer.status().is_success()
}

pub async fn put(
    client: &Client,
    repository: &str,
    tag: &str,
    media_type: String,
    bytes: bytes::Bytes,
) {
    let request = client
        .put(manifest(repository, tag))
        .header(CONTENT_TYPE, media_type)
        .body(bytes);
    good(request.send().await);
}

/// One image: GET, POST and PUT for each blob, all side by side, then its manifest.
async fn copy(client: &Client, from: &str, tag: &str, to: &str, new: &str) {
    let (media_type, bytes) = get(client, from, tag).await;
    let parsed: Value = serde_json::from_slice(&bytes).expect("a manifest");
    let layers = parsed["layers"].as_array().expect("layers").iter();
    let transfers: FuturesUnordered<_> = layers
        .chain([&parsed["config"]])
        .map(|part| {
            let digest = part["digest"].as_str().expect("a digest").to_owned();
            let size = part["size"].as_u64().expect("a size");
            let (client, from, to) = (client.clone(), from.to_owned(), to.to_owned());
            tokio::spawn(async move { transfer(&client, &from, &to, &digest, size).await })
        })
        .collect();
    let done: Vec<_> = transfers.collect().await;
    for one in done {
        one.expect("a transfer does not panic");
    }
    put(client, to, new, media_type, bytes).await;
}

async fn transfer(client: &Client, from: &str, to: &str, digest: &str, size: u64) {
    let start = format!("http://{}/blobs/uploads/", v2(to));
    let started = good(client.post(start).send().await);
    let location = started.headers()[LOCATION].to_str().expect("an address");
    let mut target: Url = started.url().join(location).expect("an address");
    target.query_pairs_mut().append_pair("digest", digest);
    let source = client.get(format!("http://{}/blobs/{digest}", v2(from)));
    let source = good(source.send().await);
    let (hashed, result) = hashing(source, size);
    let request = client.put(target).header(CONTENT_LENGTH, size).body(hashed);
    good(request.send().await);
    let found = result.await.expect("the whole blob was read");
    assert_eq!(format!("sha256:{found}"), digest, "what was copied");
}

/// The body, hashed on its way.
fn hashing(source: Response, size: u64) -> (Body, tokio::sync::oneshot::Receiver<String>) {
    let (send, receive) = tokio::sync::oneshot::channel();
    let state = (source, Sha256::new(), size, Some(send));
    let stream = futures::stream::unfold(
        state,
        |(mut source, mut hash, mut left, mut send)| async move {
            match source.chunk().await {
                Ok(Some(chunk)) => {
                    hash.update(&chunk);
                    left -= chunk.len() as u64;
                    // The end of the body is not asked for when its length is known.
                    if left == 0
                        && let Some(send) = send.take()
                    {
                        // Nobody waits for it any more when the transfer has failed.
                        let _gone = send.send(hex::encode(hash.finalize_reset()));
                    }
                    Some((Ok(chunk), (source, hash, left, send)))
                }
                Ok(None) => None,
                Err(why) => Some((Err(why), (source, hash, left, send))),
            }
        },
    );
    (Body::wrap_stream(stream), receive)
}

fn manifest(repository: &str, tag: &str) -> String {
    format!("http://{}/manifests/{tag}", v2(repository))
}

/// `host/v2/name` of `host/name`.
fn v2(repository: &str) -> String {
    repository.replacen('/', "/v2/", 1)
}

fn good(answer: reqwest::Result<Response>) -> Response {
    let answer = answer.and_then(Response::error_for_status);
    answer.unwrap_or_else(|why| panic!("floor: {why}"))
}
