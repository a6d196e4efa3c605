//! Reads a source file and says what it must not: the table of layers, and the words that a layer must not use.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};

/// Layer, and the layers that it may use besides itself.
const LAYERS: &[(&str, &[&str])] = &[
    ("api", &[]),
    ("domain", &["api"]),
    ("effects", &["api", "domain"]),
    ("controllers", &["api", "domain", "effects", "telemetry"]),
    ("web", &["api", "domain"]),
    ("telemetry", &[]),
    (
        "cli",
        &[
            "api",
            "domain",
            "effects",
            "controllers",
            "web",
            "telemetry",
        ],
    ),
];
/// The files of `domain` that read and write the types of `api`.
const DOORS: &[&str] = &[
    "audit/ledger.rs",
    "drift/",
    "plan.rs",
    "policy/",
    "request.rs",
    "retention/",
    "record/",
    "rebuild.rs",
    "status/",
];
/// Crates that `api` and `domain` must not use.
const IMPURE_CRATES: &[&str] = &[
    "tokio",
    "reqwest",
    "oci_client",
    "tracing",
    "futures",
    "hyper",
    "axum",
    "rand",
    "getrandom",
    "log",
];
/// Parts of the standard library that `api` and `domain` must not use.
const IMPURE_STD: &[&str] = &["fs", "net", "env", "process", "thread", "io"];
/// Names that `domain` must not say: their order or their answer differs from run to run.
const UNSTEADY: &[&str] = &["HashMap", "HashSet", "Instant", "SystemTime"];
const PRINTERS: &[&str] = &["println", "print", "eprintln", "eprint", "dbg"];

/// How the name of a field ends that holds a credential.
const CREDENTIALS: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "secret",
    "secrets",
    "token",
    "tokens",
    "identitytoken",
    "registrytoken",
    "credential",
    "credentials",
    "auth",
    "authorization",
    "bearer",
    "cookie",
    "private_key",
    "signing_key",
    "access_key",
    "api_key",
    "apikey",
    "webhook",
    "webhook_url",
];
/// Fields that hold the name of a Secret, which is none.
const NAMES_OF_SECRETS: &[&str] = &["credentials_secret", "ca_secret"];
/// Types that can be printed.
const PRINTABLE: &[&str] = &["String", "str", "u8", "ByteString", "Bytes", "Value", "Url"];
/// Types that print nothing of what they hold.
const SECRET_TYPES: &[&str] = &["SecretString", "SecretSlice", "SecretBox", "SecretData"];

/// What this file must not do, a sentence each.
pub(crate) fn violations(path: &str, source: &str) -> Vec<String> {
    let layer = layer_of(path);
    if let Some(layer) = &layer
        && !LAYERS.iter().any(|(known, _)| known == layer)
    {
        return vec![format!(
            "{path}: '{layer}' is a layer that the table does not know"
        )];
    }
    if is_test_file(path) {
        return Vec::new();
    }
    let file = match syn::parse_file(source) {
        Ok(file) => file,
        Err(why) => return vec![format!("{path}: cannot be read: {why}")],
    };
    let module = module_of(path);
    let mut reader = Reader {
        path,
        layer,
        module,
        found: Vec::new(),
    };
    reader.visit_file(&file);
    reader.found.dedup();
    reader.found
}

/// A file that only tests include.
pub(crate) fn is_test_file(path: &str) -> bool {
    path.ends_with("tests.rs") || path.contains("/tests/")
}

/// Lines of code, without the modules of tests inside the file.
pub(crate) fn lines_without_tests(source: &str) -> usize {
    let all = source.lines().count();
    let Ok(file) = syn::parse_file(source) else {
        return all;
    };
    let tests: usize = file
        .items
        .iter()
        .filter_map(|item| match item {
            syn::Item::Mod(module) if only_for_tests(&module.attrs) => {
                Some(module.span().end().line + 1 - module.span().start().line)
            }
            _ => None,
        })
        .sum();
    all - tests
}

/// `src/domain/plan.rs` is of the layer `domain`; `src/lib.rs` and `src/main.rs` are of none.
fn layer_of(path: &str) -> Option<String> {
    let rest = path.strip_prefix("src/")?;
    if matches!(rest, "lib.rs" | "main.rs") {
        return None;
    }
    let first = rest.split('/').next()?;
    Some(first.trim_end_matches(".rs").to_owned())
}

/// `src/domain/decide/mod.rs` is the module `[domain, decide]`.
fn module_of(path: &str) -> Vec<String> {
    let rest = path
        .strip_prefix("src/")
        .unwrap_or(path)
        .trim_end_matches(".rs");
    let rest = rest.strip_suffix("/mod").unwrap_or(rest);
    let parts = rest
        .split('/')
        .filter(|part| !matches!(*part, "lib" | "main"));
    parts.map(str::to_owned).collect()
}

fn only_for_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let syn::Meta::List(list) = &attribute.meta else {
            return false;
        };
        list.path.is_ident("cfg") && list.tokens.to_string() == "test"
    })
}

struct Reader<'a> {
    path: &'a str,
    layer: Option<String>,
    module: Vec<String>,
    found: Vec<String>,
}

impl Reader<'_> {
    fn say(&mut self, what: &str) {
        let sentence = format!("{}: {what}", self.path);
        if !self.found.contains(&sentence) {
            self.found.push(sentence);
        }
    }

    fn is_pure(&self) -> bool {
        matches!(self.layer.as_deref(), Some("api" | "domain"))
    }

    /// A path as it is written, with `*` for a glob at its end.
    fn path_said(&mut self, segments: &[String]) {
        let absolute = self.absolute(segments);
        let words: Vec<&str> = absolute.iter().map(String::as_str).collect();
        if words.first() == Some(&"crate") {
            self.own_path(&words[1..]);
        } else {
            self.foreign_path(&words);
        }
    }

    /// `self` and `super` resolved to `crate`.
    fn absolute(&self, segments: &[String]) -> Vec<String> {
        let ups = segments
            .iter()
            .take_while(|word| *word == "super" || *word == "self");
        let ups: Vec<&String> = ups.collect();
        if ups.is_empty() {
            return segments.to_vec();
        }
        let supers = ups.iter().filter(|word| **word == "super").count();
        let kept = self.module.len().saturating_sub(supers);
        let mut absolute = vec!["crate".to_owned()];
        absolute.extend_from_slice(&self.module[..kept]);
        absolute.extend_from_slice(&segments[ups.len()..]);
        absolute
    }

    fn own_path(&mut self, words: &[&str]) {
        let Some(layer) = self.layer.clone() else {
            return;
        };
        let Some(used) = words.first() else { return };
        if *used == "*" {
            self.say("crate::* hides who is used");
            return;
        }
        let known = LAYERS.iter().any(|(name, _)| name == used);
        let allowed = LAYERS
            .iter()
            .find(|(name, _)| *name == layer)
            .is_some_and(|(_, may)| may.contains(used));
        if known && *used != layer && !allowed {
            self.say(&format!("{layer} may not use {used}"));
        }
        let inside = self.path.strip_prefix("src/domain/");
        if *used == "api"
            && let Some(inside) = inside
            && !DOORS.iter().any(|door| inside.starts_with(door))
        {
            self.say("only the doors of domain may use api");
        }
        let decides = matches!(
            words,
            ["domain", "decide", ..] | ["domain", "decision", "Stage", ..]
        );
        if layer == "effects" && decides {
            self.say("effects may not decide");
        }
    }

    fn foreign_path(&mut self, words: &[&str]) {
        if words.windows(2).any(|pair| pair == ["process", "exit"]) && self.path != "src/main.rs" {
            self.say("process::exit is for src/main.rs alone");
        }
        if !self.is_pure() {
            return;
        }
        match words {
            [name, ..] if IMPURE_CRATES.contains(name) => self.say(&format!("{name} is an effect")),
            ["std", part, ..] if IMPURE_STD.contains(part) => {
                self.say(&format!("std::{part} is an effect"));
            }
            [
                "kube",
                "core" | "CustomResource" | "KubeSchema" | "CustomResourceExt",
                ..,
            ] => {}
            ["kube", part, ..] => self.say(&format!("kube::{part} may be more than data")),
            [.., "Timestamp" | "Zoned" | "Utc" | "Local", "now"] => {
                self.say("now() is an argument, not a question");
            }
            _ => {}
        }
        if self.layer.as_deref() == Some("domain")
            && let Some(word) = words.iter().find(|word| UNSTEADY.contains(word))
        {
            self.say(&format!("{word} differs from run to run"));
        }
    }

    /// A field whose name says that it holds a credential has a type that prints none.
    fn field_said(&mut self, name: &str, ty: &syn::Type) {
        if NAMES_OF_SECRETS.contains(&name) {
            return;
        }
        let is_credential = CREDENTIALS.iter().any(|word| {
            let rest = name.strip_suffix(word);
            rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('_'))
        });
        let mut words = Words::default();
        words.visit_type(ty);
        let has = |known: &[&str]| words.0.iter().any(|word| known.contains(&word.as_str()));
        if is_credential && has(PRINTABLE) && !has(SECRET_TYPES) {
            self.say(&format!(
                "'{name}' could be printed: make it a SecretString"
            ));
        }
    }

    fn asynchronous(&mut self) {
        if self.is_pure() {
            self.say("async is for effects and controllers");
        }
    }

    fn macro_said(&mut self, name: &str) {
        if PRINTERS.contains(&name) && self.path != "src/cli/output.rs" {
            self.say(&format!("{name}! is for src/cli/output.rs alone"));
        }
    }

    /// The paths among the arguments of a macro, which syn leaves unread.
    fn tokens_said(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Punct(punct) if punct.as_char() == ':' => {
                    colons += 1;
                    continue;
                }
                TokenTree::Ident(ident) => {
                    if colons != 2 {
                        self.flush(&mut path);
                    }
                    path.push(ident.to_string());
                }
                TokenTree::Punct(punct) if punct.as_char() == '!' => {
                    if let [name] = path.as_slice() {
                        let name = name.clone();
                        self.macro_said(&name);
                    }
                    self.flush(&mut path);
                }
                TokenTree::Group(group) => {
                    self.flush(&mut path);
                    if group.delimiter() != Delimiter::None || !group.stream().is_empty() {
                        self.tokens_said(group.stream());
                    }
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => self.flush(&mut path),
            }
            colons = 0;
        }
        self.flush(&mut path);
    }

    fn flush(&mut self, path: &mut Vec<String>) {
        if matches!(path.as_slice(), [word] if word == "async") {
            self.asynchronous();
        } else if path.len() > 1
            || path
                .first()
                .is_some_and(|word| UNSTEADY.contains(&word.as_str()))
        {
            self.path_said(path);
        }
        path.clear();
    }

    fn tree_said(&mut self, before: &[String], tree: &syn::UseTree) {
        let with = |word: &str| {
            let mut path = before.to_vec();
            path.push(word.to_owned());
            path
        };
        match tree {
            syn::UseTree::Path(path) => self.tree_said(&with(&path.ident.to_string()), &path.tree),
            syn::UseTree::Name(name) if name.ident == "self" => self.path_said(before),
            syn::UseTree::Name(name) => self.path_said(&with(&name.ident.to_string())),
            syn::UseTree::Rename(rename) => {
                // A whole crate under another name could not be followed any more.
                let path = with(&rename.ident.to_string());
                if before.is_empty() && rename.ident == "kube" && self.is_pure() {
                    self.say("kube under another name");
                }
                self.path_said(&path);
            }
            syn::UseTree::Glob(_) => self.path_said(&with("*")),
            syn::UseTree::Group(group) => {
                for tree in &group.items {
                    self.tree_said(before, tree);
                }
            }
        }
    }
}

/// The names in a type.
#[derive(Default)]
struct Words(Vec<String>);

impl<'ast> Visit<'ast> for Words {
    fn visit_path_segment(&mut self, segment: &'ast syn::PathSegment) {
        self.0.push(segment.ident.to_string());
        visit::visit_path_segment(self, segment);
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        let attributes = match item {
            syn::Item::Mod(item) => &item.attrs,
            syn::Item::Fn(item) => &item.attrs,
            syn::Item::Impl(item) => &item.attrs,
            syn::Item::Use(item) => &item.attrs,
            _ => &Vec::new(),
        };
        if !only_for_tests(attributes) {
            visit::visit_item(self, item);
        }
    }

    fn visit_field(&mut self, field: &'ast syn::Field) {
        if let Some(name) = &field.ident {
            self.field_said(&name.to_string(), &field.ty);
        }
        visit::visit_field(self, field);
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        if call.method == "expose_secret" && self.layer.as_deref() != Some("effects") {
            self.say("only effects may look at a secret");
        }
        visit::visit_expr_method_call(self, call);
    }

    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        self.module.push(module.ident.to_string());
        visit::visit_item_mod(self, module);
        self.module.pop();
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.tree_said(&[], &item.tree);
    }

    fn visit_item_extern_crate(&mut self, item: &'ast syn::ItemExternCrate) {
        self.path_said(&[item.ident.to_string()]);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<String> = path
            .segments
            .iter()
            .map(|segment| segment.ident.to_string())
            .collect();
        // One word may be a variable or a local type: only what a `use` brought in can be wrong, and that was seen.
        if segments.len() > 1 {
            self.path_said(&segments);
        }
        visit::visit_path(self, path);
    }

    fn visit_signature(&mut self, signature: &'ast syn::Signature) {
        if signature.asyncness.is_some() {
            self.asynchronous();
        }
        visit::visit_signature(self, signature);
    }

    fn visit_expr_async(&mut self, block: &'ast syn::ExprAsync) {
        self.asynchronous();
        visit::visit_expr_async(self, block);
    }

    fn visit_expr_await(&mut self, expression: &'ast syn::ExprAwait) {
        self.asynchronous();
        visit::visit_expr_await(self, expression);
    }

    fn visit_macro(&mut self, invocation: &'ast syn::Macro) {
        if let Some(name) = invocation.path.segments.last() {
            self.macro_said(&name.ident.to_string());
        }
        self.tokens_said(invocation.tokens.clone());
        visit::visit_macro(self, invocation);
    }
}
