//! How much memory a copy takes. A test of its own: what its process has ever held counts.
#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::fs;
    use std::time::Duration;

    use axum::Router;
    use axum::body::{Body, Bytes};
    use axum::extract::Request;
    use axum::http::{Method, Response, StatusCode};
    use floe::domain::artifact::{Algorithm, Digest, Hashing};
    use floe::effects::registry::{
        Access, CopyOptions, ManifestType, Outcome, Place, RawManifest, Registry, copy_graph,
    };
    use futures::{StreamExt as _, stream};
    use serde_json::json;

    const MIB: usize = 1 << 20;

    /// Bytes that come at once.
    const PIECE: usize = 64 << 10;

    /// Growth that a copy of any size may take.
    const MOST_GROWTH: usize = 32 * MIB;

    fn piece() -> Bytes {
        let bytes = (0..PIECE).map(|number| u8::try_from(number % 251).unwrap_or_default());
        bytes.collect()
    }

    fn digest_of(size: usize) -> Digest {
        let mut hashing = Hashing::new(Algorithm::Sha256);
        for _ in 0..size / PIECE {
            hashing.update(&piece());
        }
        hashing.finish()
    }

    /// Makes up blobs as they are read, and throws them away as they are written.
    async fn start(root: Option<RawManifest>, size: usize) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = move |request: Request| answer(request, root.clone(), size);
        let router = Router::new().fallback(service);
        tokio::spawn(async move { axum::serve(listener, router).await });
        address.to_string()
    }

    async fn answer(request: Request, root: Option<RawManifest>, size: usize) -> Response<Body> {
        let (head, body) = request.into_parts();
        let path = head.uri.path();
        let status = |status| Response::builder().status(status);
        let is_blob = path.contains("/blobs/sha256:");
        let response = match (head.method, root) {
            (Method::GET, Some(root))
                if path.ends_with(&format!("/manifests/{}", root.digest())) =>
            {
                status(StatusCode::OK)
                    .header("content-type", root.media_type().as_str())
                    .body(Body::from(root.bytes().clone()))
            }
            (Method::GET, Some(_)) if is_blob => {
                let piece = piece();
                let pieces = stream::repeat_with(move || Ok::<_, Infallible>(piece.clone()));
                status(StatusCode::OK)
                    .header("content-length", size)
                    .body(Body::from_stream(pieces.take(size / PIECE)))
            }
            (Method::POST, _) => status(StatusCode::ACCEPTED)
                .header("location", "/v2/app/blobs/uploads/1")
                .body(Body::empty()),
            (Method::PUT, _) => {
                let mut pieces = body.into_data_stream();
                while let Some(piece) = pieces.next().await {
                    if piece.is_err() {
                        break;
                    }
                }
                status(StatusCode::CREATED).body(Body::empty())
            }
            _ => status(StatusCode::NOT_FOUND).body(Body::empty()),
        };
        response.unwrap()
    }

    /// A field of `/proc/self/status`, in bytes.
    fn memory(field: &str) -> usize {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with(field)).unwrap();
        let number = line.split_whitespace().nth(1).unwrap();
        number.parse::<usize>().unwrap() * 1024
    }

    /// Copies four layers of this size; returns the growth of the memory while it did.
    async fn growth(size: usize) -> usize {
        // Four times the same content would be copied once.
        let sizes: Vec<usize> = (0..4).map(|number| size + number * PIECE).collect();
        let mut servers = Vec::new();
        for size in &sizes {
            servers.push(copy_one(*size));
        }
        // Forgets the highest mark of before.
        fs::write("/proc/self/clear_refs", "5").unwrap();
        let before = memory("VmRSS");
        futures::future::join_all(servers).await;
        memory("VmHWM").saturating_sub(before)
    }

    async fn copy_one(size: usize) {
        let digest = digest_of(size);
        let manifest = json!({
            "schemaVersion": 2, "mediaType": ManifestType::OciManifest.as_str(),
            "layers": [{"mediaType": "x", "digest": digest, "size": size}],
        });
        let root = RawManifest::new(manifest.to_string().into_bytes(), ManifestType::OciManifest);
        let open = |host: String| {
            let repository = format!("{host}/app").parse().unwrap();
            let mut access = Access::to(&repository);
            access.plain_http = true;
            access.limits.request = Duration::from_mins(1);
            (Registry::new(&access).unwrap(), repository)
        };
        let (source, here) = open(start(Some(root.clone()), size).await);
        let (target, there) = open(start(None, size).await);
        let from = Place {
            registry: &source,
            repository: &here,
        };
        let to = Place {
            registry: &target,
            repository: &there,
        };
        let report = copy_graph(from, to, root.digest(), &CopyOptions::default()).await;
        let report = report.unwrap();
        let written = |outcome: &Outcome| *outcome == Outcome::Written;
        assert!(report.items.iter().all(|copied| written(&copied.outcome)));
        assert_eq!(report.items.len(), 2);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_copy_of_any_size_takes_the_same_little_memory() {
        // Threads and connections of the first copy are there for the later ones.
        growth(2 * MIB).await;
        let small = growth(4 * MIB).await;
        let large = growth(128 * MIB).await;
        println!(
            "four blobs at once: {} KiB for 16 MiB, {} KiB for 512 MiB",
            small / 1024,
            large / 1024
        );
        assert!(large < MOST_GROWTH, "{large}");
        // What the allocator keeps varies; what matters is that it does not follow the size.
        assert!(large < small + 16 * MIB, "{small} and {large}");
    }
}
