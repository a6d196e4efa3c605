//! Where and when it was measured.

use std::fs::read_to_string;

use crate::cost::run;
use crate::place::Place;
use crate::process::tool;

/// The load averages now.
pub fn load() -> String {
    let text = read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

/// The machine, its load, and the versions, as lines of a list.
pub async fn describe(before: &str, place: &Place) -> String {
    let cpu = read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cores = cpu
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count();
    let model = cpu
        .lines()
        .find(|line| line.starts_with("model name"))
        .and_then(|line| line.split_once(": "))
        .map_or("unknown", |(_, model)| model);
    let memory = read_to_string("/proc/meminfo").unwrap_or_default();
    let kib: u64 = memory
        .split_whitespace()
        .nth(1)
        .and_then(|kib| kib.parse().ok())
        .unwrap_or_default();
    let kernel = read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let date = jiff::Zoned::now().date();
    let mut versions = Vec::new();
    for (name, program, argument) in [
        ("floe", env!("CARGO_BIN_EXE_floe").into(), "--version"),
        ("skopeo", "/usr/bin/skopeo".into(), "--version"),
        ("distribution", tool("registry"), "--version"),
    ] {
        let mut command = std::process::Command::new(program);
        command.arg(argument);
        let text = String::from_utf8_lossy(&run(command).await.stdout).into_owned();
        let last = text.split_whitespace().last().unwrap_or_default();
        versions.push(format!("{name} {last}"));
    }
    format!(
        "- {date}; {cores} cores ({model}), {} GiB, Linux {}\n\
         - load before {before}, after {}; registries keep their data in {}\n\
         - {}\n\
         - crane {}, regctl {}\n",
        kib / 1024 / 1024,
        kernel.trim(),
        load(),
        place.where_it_is(),
        versions.join(", "),
        pinned("oci", "github.com/google/go-containerregistry"),
        pinned("regctl", "github.com/regclient/regclient"),
    )
}

/// The version of a module that one of our tools is built from; programs built so do not know their own.
fn pinned(folder: &str, module: &str) -> String {
    let path = format!("{}/e2e/tools/{folder}/go.mod", env!("CARGO_MANIFEST_DIR"));
    let text = read_to_string(path).unwrap_or_default();
    text.lines()
        .map(|line| line.trim_start_matches("require "))
        .find_map(|line| {
            line.trim()
                .strip_prefix(module)?
                .trim()
                .split(' ')
                .next()
                .map(str::to_owned)
        })
        .unwrap_or_else(|| panic!("no version of {module}"))
}
