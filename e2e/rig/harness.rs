//! Runs the tests: some side by side, each with a limit, all on one control plane.

use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use futures::future::LocalBoxFuture;
use futures::stream::{self, StreamExt as _};

use crate::control_plane::ControlPlane;
use crate::install;
use crate::wait::seconds;

/// Tests that run at the same time: they mostly wait.
const SIDE_BY_SIDE: usize = 4;
/// The longest that a test may take.
const LIMIT: Duration = seconds(900);

/// One test: its name is a sentence.
pub struct Test {
    pub name: &'static str,
    pub run: fn(Rig) -> LocalBoxFuture<'static, ()>,
}

/// Makes [`Test`]s from async functions that take a [`Rig`].
macro_rules! tests {
    ($($path:path),* $(,)?) => {
        vec![$($crate::harness::Test { name: stringify!($path), run: |rig| Box::pin($path(rig)) }),*]
    };
}
pub(crate) use tests;

/// What a test stands on.
#[derive(Clone)]
pub struct Rig {
    pub control_plane: Arc<ControlPlane>,
    /// The test's own folder.
    pub folder: PathBuf,
    /// The test's own name, as a DNS label.
    pub label: String,
    notes: Arc<Notes>,
}

/// Tells more about a world when its test has failed.
type Diagnosis = Box<dyn Fn() -> String + Send + Sync>;

#[derive(Default)]
struct Notes {
    reports: Arc<Mutex<Vec<String>>>,
    diagnoses: Mutex<Vec<Diagnosis>>,
}

impl Rig {
    /// A line of the table at the end of the run.
    pub fn report(&self, line: impl Into<String>) {
        self.notes
            .reports
            .lock()
            .expect("no holder panics")
            .push(line.into());
    }

    /// Is printed when the test fails.
    pub fn on_failure(&self, diagnosis: impl Fn() -> String + Send + Sync + 'static) {
        self.notes
            .diagnoses
            .lock()
            .expect("no holder panics")
            .push(Box::new(diagnosis));
    }

    /// Forgets what to print: a part of the test has passed.
    pub fn passed_so_far(&self) {
        self.notes
            .diagnoses
            .lock()
            .expect("no holder panics")
            .clear();
    }
}

/// Runs the tests that the command line names.
pub fn run(all: Vec<Test>) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&String> = arguments
        .iter()
        .filter(|word| !word.starts_with('-'))
        .collect();
    let has = |flag: &str| arguments.iter().any(|one| one == flag);
    let chosen: Vec<Test> = all
        .into_iter()
        .filter(|test| {
            words.is_empty()
                || words
                    .iter()
                    .any(|word| matches(test.name, word, has("--exact")))
        })
        .collect();
    if has("--list") {
        for test in &chosen {
            println!("{}: test", test.name);
        }
        return ExitCode::SUCCESS;
    }
    // The message is printed with the test's own diagnosis; here only where it was.
    std::panic::set_hook(Box::new(|panic| {
        let at = panic
            .location()
            .map(ToString::to_string)
            .unwrap_or_default();
        println!("rig: panic at {at}");
    }));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .expect("start tokio");
    // Tests stay on this thread; proxies and watches run on the others.
    let all = AssertUnwindSafe(run_all(chosen)).catch_unwind();
    tokio::task::LocalSet::new()
        .block_on(&runtime, all)
        .unwrap_or_else(|panic| {
            println!("rig: {}", text_of(&*panic));
            ExitCode::FAILURE
        })
}

fn matches(name: &str, word: &str, exact: bool) -> bool {
    if exact {
        name == word
    } else {
        name.contains(word)
    }
}

async fn run_all(tests: Vec<Test>) -> ExitCode {
    let began = Instant::now();
    if tests.is_empty() {
        println!("rig: no test has such a name");
        return ExitCode::FAILURE;
    }
    let folder = own_folder();
    let control_plane = Arc::new(ControlPlane::start(&folder).await);
    install::install(&control_plane, &folder).await;
    println!(
        "rig: control plane ready in {:.1} s",
        began.elapsed().as_secs_f64()
    );

    let reports = Arc::new(Mutex::new(Vec::new()));
    let count = tests.len();
    let failed: Vec<&'static str> = stream::iter(tests)
        .map(|test| {
            let label = test
                .name
                .rsplit("::")
                .next()
                .unwrap_or_default()
                .replace('_', "-");
            let own = folder.join(&label);
            std::fs::create_dir_all(&own).expect("make a folder");
            let notes = Arc::new(Notes {
                reports: reports.clone(),
                diagnoses: Mutex::default(),
            });
            run_one(
                test,
                Rig {
                    control_plane: control_plane.clone(),
                    folder: own,
                    label,
                    notes,
                },
            )
        })
        .buffer_unordered(SIDE_BY_SIDE)
        .filter_map(futures::future::ready)
        .collect()
        .await;

    for line in reports.lock().expect("no holder panics").iter() {
        println!("rig: {line}");
    }
    println!(
        "rig: {} passed, {} failed, {:.1} s",
        count - failed.len(),
        failed.len(),
        began.elapsed().as_secs_f64()
    );
    if failed.is_empty() {
        drop(std::fs::remove_dir_all(&folder));
        ExitCode::SUCCESS
    } else {
        println!(
            "rig: failed: {}\nrig: logs are in {}",
            failed.join(", "),
            folder.display()
        );
        ExitCode::FAILURE
    }
}

/// Runs a test; its name when it failed.
async fn run_one(test: Test, rig: Rig) -> Option<&'static str> {
    let began = Instant::now();
    let running =
        tokio::task::spawn_local(AssertUnwindSafe((test.run)(rig.clone())).catch_unwind());
    let stop = running.abort_handle();
    let outcome = tokio::time::timeout(LIMIT, running).await;
    stop.abort();
    let took = began.elapsed().as_secs_f64();
    let problem = match outcome {
        Ok(Ok(Ok(()))) => {
            println!("test {} ... ok ({took:.1} s)", test.name);
            return None;
        }
        Ok(Ok(Err(panic))) => text_of(&*panic),
        Ok(Err(why)) => why.to_string(),
        Err(_) => format!("still running after {LIMIT:?}"),
    };
    let more: Vec<String> = rig
        .notes
        .diagnoses
        .lock()
        .expect("no holder panics")
        .iter()
        .map(|tell| tell())
        .collect();
    println!(
        "test {} ... FAILED ({took:.1} s)\n{problem}\n{}\n",
        test.name,
        more.join("\n")
    );
    Some(test.name)
}

fn text_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_default()
}

/// A folder of this run; those of runs that have ended are removed, but for the last one that failed.
fn own_folder() -> PathBuf {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR"));
    for entry in std::fs::read_dir(root).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let pid = name
            .strip_prefix("rig-")
            .and_then(|pid| pid.parse::<u32>().ok());
        if pid.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            drop(std::fs::remove_dir_all(entry.path()));
        }
    }
    let folder = root.join(format!("rig-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("make a folder");
    folder
}
