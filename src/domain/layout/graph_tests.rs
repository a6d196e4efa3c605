use serde_json::{Value, json};

use super::*;

const IMAGE: &str = MANIFESTS[0];

fn part(media_type: &str, content: &str) -> Part {
    Part {
        media_type: media_type.into(),
        digest: Digest::of(content.as_bytes()),
        size: content.len() as u64,
    }
}

fn descriptor(media_type: &str, content: &str) -> Value {
    let Part {
        media_type,
        digest,
        size,
    } = part(media_type, content);
    json!({"mediaType": media_type, "digest": digest, "size": size})
}

fn image(layers: &[Value]) -> String {
    json!({"config": descriptor("application/json", "config"), "layers": layers}).to_string()
}

fn index(children: &[Value]) -> String {
    json!({"manifests": children}).to_string()
}

/// Reads the root alone.
fn read(media_type: &str, bytes: &str) -> Result<Graph, GraphError> {
    let mut graph = Graph::of(part(media_type, bytes))?;
    let node = graph.next_manifest().unwrap();
    graph.read(&node, bytes.as_bytes())?;
    Ok(graph)
}

fn blobs(graph: &Graph) -> Vec<&str> {
    graph.blobs().map(|part| part.digest.as_str()).collect()
}

#[test]
fn an_image_is_its_manifest_config_and_layers_each_once() {
    let layers = [
        descriptor("a", "one"),
        descriptor("b", "two"),
        descriptor("a", "one"),
    ];
    let mut graph = read(IMAGE, &image(&layers)).unwrap();
    assert_eq!(graph.next_manifest(), None);
    let expected = ["config", "one", "two"].map(|text| Digest::of(text.as_bytes()));
    assert_eq!(blobs(&graph), expected.each_ref().map(Digest::as_str));
}

#[test]
fn an_index_is_read_with_all_its_children_and_a_child_that_is_named_twice_once() {
    let children = [
        descriptor(IMAGE, "child"),
        descriptor(IMAGE, "child"),
        descriptor(MANIFESTS[1], "other"),
    ];
    let mut graph = read(INDEX_TYPE, &index(&children)).unwrap();
    let child = graph.next_manifest().unwrap();
    assert_eq!(child.part, part(IMAGE, "child"));
    graph
        .read(&child, image(&[descriptor("a", "one")]).as_bytes())
        .unwrap();
    let other = graph.next_manifest().unwrap();
    graph
        .read(&other, image(&[descriptor("a", "one")]).as_bytes())
        .unwrap();
    assert_eq!(graph.next_manifest(), None);
    assert_eq!(blobs(&graph).len(), 2);
}

#[test]
fn a_circle_or_a_deeper_index_is_refused() {
    let mut graph = Graph::of(part(INDEX_TYPE, "root")).unwrap();
    let root = graph.next_manifest().unwrap();
    let itself = index(&[descriptor(INDEX_TYPE, "root")]);
    let circle = graph.clone().read(&root, itself.as_bytes());
    assert_eq!(circle, Err(GraphError::Circle(Digest::of(b"root"))));

    graph
        .read(&root, index(&[descriptor(INDEX_TYPE, "two")]).as_bytes())
        .unwrap();
    let two = graph.next_manifest().unwrap();
    let circle = graph.clone().read(&two, itself.as_bytes());
    assert_eq!(circle, Err(GraphError::Circle(Digest::of(b"root"))));

    graph
        .read(&two, index(&[descriptor(INDEX_TYPE, "three")]).as_bytes())
        .unwrap();
    let three = graph.next_manifest().unwrap();
    let deeper = graph.read(&three, index(&[descriptor(IMAGE, "four")]).as_bytes());
    assert_eq!(deeper, Err(GraphError::TooDeep(Digest::of(b"four"))));
}

#[test]
fn the_sum_of_all_sizes_is_known_before_a_blob_is_fetched() {
    let sized =
        |text: &str, size: u64| json!({"digest": Digest::of(text.as_bytes()), "size": size});
    let half = MAX_IMAGE_BYTES / 2;
    let same = [sized("a", half), sized("a", half), sized("a", half)];
    assert!(read(IMAGE, &image(&same)).is_ok());
    for layers in [
        [sized("a", half), sized("b", half)],
        [sized("a", u64::MAX), sized("b", 1)],
    ] {
        let refused = read(IMAGE, &image(&layers));
        assert!(
            matches!(refused, Err(GraphError::TooLarge(_))),
            "{refused:?}"
        );
    }
    let children: Vec<Value> = ["x", "y"]
        .map(
            |text| json!({"mediaType": IMAGE, "digest": Digest::of(text.as_bytes()), "size": half}),
        )
        .into();
    let refused = read(INDEX_TYPE, &index(&children));
    assert!(
        matches!(refused, Err(GraphError::TooLarge(_))),
        "{refused:?}"
    );
}

#[test]
fn a_thousand_layers_are_enough() {
    let layers = |count: usize| -> Vec<Value> {
        (0..count)
            .map(|n| descriptor("a", &n.to_string()))
            .collect()
    };
    assert!(read(IMAGE, &image(&layers(MAX_PARTS))).is_ok());
    let refused = read(IMAGE, &image(&layers(MAX_PARTS + 1))).unwrap_err();
    assert_eq!(refused, GraphError::TooMany("layers"));
    let children: Vec<Value> = (0..MAX_PARTS)
        .map(|n| descriptor(IMAGE, &n.to_string()))
        .collect();
    let refused = read(INDEX_TYPE, &index(&children)).unwrap_err();
    assert_eq!(refused, GraphError::TooMany("manifests"));
}

#[test]
fn foreign_layers_are_left_out_and_named() {
    let mut elsewhere = descriptor("application/vnd.oci.image.layer.v1.tar", "urls");
    elsewhere["urls"] = json!(["https://example.org/layer"]);
    let mut here = descriptor("a", "here");
    here["urls"] = json!([]);
    let layers = [descriptor(FOREIGN[3], "foreign"), elsewhere, here];
    let graph = read(IMAGE, &image(&layers)).unwrap();
    assert_eq!(blobs(&graph).len(), 2);
    assert_eq!(graph.left_out().len(), 2);
    assert!(graph.left_out()[0].contains(Digest::of(b"foreign").as_str()));
}

#[test]
fn what_cannot_be_checked_is_refused() {
    let digest =
        json!({"mediaType": "a", "digest": format!("sha384:{}", "0".repeat(96)), "size": 1});
    let refused = read(IMAGE, &image(&[digest])).unwrap_err().to_string();
    assert!(
        refused.contains("sha384") && refused.contains("must be 'sha256:'"),
        "{refused}"
    );

    let refused = read(
        IMAGE,
        &image(&[descriptor("a", "x"), {
            json!({"digest": Digest::of(b"x"), "size": 2})
        }]),
    );
    assert_eq!(refused.unwrap_err(), GraphError::TwoSizes(Digest::of(b"x")));

    let refused = read(INDEX_TYPE, &index(&[descriptor("text/plain", "x")]));
    assert!(matches!(refused, Err(GraphError::NoManifest { .. })));

    for bytes in [
        "",
        "[]",
        "{}",
        r#"{"config": 1}"#,
        r#"{"config": {}, "layers": []}"#,
    ] {
        let refused = read(IMAGE, bytes);
        assert!(
            matches!(refused, Err(GraphError::Unreadable { .. })),
            "{bytes}"
        );
    }
}

#[test]
fn the_index_of_a_layout_names_one_artifact() {
    let root = part(IMAGE, "root");
    let parsed: Value = serde_json::from_str(&index_json(&root, Some("v1.2.3"))).unwrap();
    assert_eq!(parsed["schemaVersion"], 2);
    assert_eq!(parsed["manifests"].as_array().unwrap().len(), 1);
    let annotations = &parsed["manifests"][0]["annotations"];
    assert_eq!(annotations["org.opencontainers.image.ref.name"], "v1.2.3");
    let nameless: Value = serde_json::from_str(&index_json(&root, None)).unwrap();
    assert_eq!(nameless["manifests"][0], descriptor(IMAGE, "root"));
}
