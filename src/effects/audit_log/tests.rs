//! Logs on a real disk: crashes, torn ends, full disks, changed files, two processes.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use super::*;
use crate::domain::artifact::Digest;
use crate::domain::audit_log::{About, Chain, End, Start, Verifier};

const SIZE: u64 = 16 << 20;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// Read while a log is open, written while a program is started: until it runs, the child holds the locks of all logs
/// that were open, and a log that is just closed would look like one in use.
static FORKS: RwLock<()> = RwLock::new(());

/// A process that writes a log.
struct Process {
    writer: Writer,
    _no_forks: RwLockReadGuard<'static, ()>,
}

impl Deref for Process {
    type Target = Writer;
    fn deref(&self) -> &Writer {
        &self.writer
    }
}

impl DerefMut for Process {
    fn deref_mut(&mut self) -> &mut Writer {
        &mut self.writer
    }
}

/// Runs a program; it is started while no log is open. It never queues for that: some tests open two logs, and the
/// second would wait behind it.
fn started(command: &mut Command) -> Output {
    let child = loop {
        if let Ok(_alone) = FORKS.try_write() {
            break command.stdout(Stdio::piped()).spawn().unwrap();
        }
        std::thread::yield_now();
    };
    child.wait_with_output().unwrap()
}

/// A process that has just been started.
fn process(folder: &Path, file_size: u64) -> Process {
    let writer = Writer {
        place: Place::Folder {
            path: folder.to_owned(),
            file_size,
        },
        operator: "floe-0".to_owned(),
        open: None,
        broken: Vec::new(),
        told: None,
        newest: Arc::default(),
    };
    Process {
        writer,
        _no_forks: FORKS.read().unwrap_or_else(PoisonError::into_inner),
    }
}

fn ended(uid: &str) -> Entry {
    let mut entry = Entry::of(Event::Result);
    entry.request = Some(About {
        uid: uid.to_owned(),
        ..About::default()
    });
    entry.reason = Some("Promoted".to_owned());
    entry
}

fn write(writer: &mut Writer, uid: &str) -> Written {
    writer.write(Some(ended(uid)), at(1000)).unwrap()
}

/// The files of a log, in their order.
fn files(folder: &Path, id: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder.join(id))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "jsonl"))
        .collect();
    files.sort();
    files
}

fn logs(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let names = entries.map(|entry| entry.file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

/// The lines of a log, which is in order.
fn lines(folder: &Path, id: &str) -> (Vec<Line>, End) {
    let (mut verifier, mut lines) = (Verifier::new(Start::First), Vec::new());
    for file in files(folder, id) {
        let bytes = fs::read(file).unwrap();
        verifier
            .push(&bytes, |line, _| lines.push(line.clone()))
            .unwrap();
    }
    (lines, verifier.end())
}

fn events(folder: &Path, id: &str) -> Vec<Event> {
    lines(folder, id).0.iter().map(|line| line.event).collect()
}

#[test]
fn a_line_is_in_the_file_when_the_call_returns_and_the_next_process_goes_on_behind_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = process(folder.path(), SIZE);
    let id = write(&mut first, "one").log_id;
    assert_eq!(events(folder.path(), &id), [Event::Opened, Event::Result]);
    drop(first);
    let mut second = process(folder.path(), SIZE);
    assert_eq!(write(&mut second, "two").log_id, id);
    assert_eq!(
        events(folder.path(), &id),
        [Event::Opened, Event::Result, Event::Opened, Event::Result]
    );
    assert_eq!(logs(folder.path()), [id]);
}

#[test]
fn an_end_is_told_once_also_by_the_next_process() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = process(folder.path(), SIZE);
    let id = write(&mut first, "one").log_id;
    write(&mut first, "one");
    drop(first);
    let mut second = process(folder.path(), SIZE);
    write(&mut second, "one");
    write(&mut second, "two");
    let ends = lines(folder.path(), &id).0;
    let ends: Vec<String> = ends
        .into_iter()
        .filter_map(|line| Some(line.request?.uid))
        .collect();
    assert_eq!(ends, ["one", "two"]);
}

#[test]
fn what_is_remembered_as_told_does_not_grow_without_bound() {
    let mut told = Told::default();
    for number in 0..10 * REMEMBERED {
        told.add(number.to_string());
    }
    assert_eq!(told.keys.len(), REMEMBERED);
    assert_eq!(told.in_order.len(), REMEMBERED);
    assert!(told.has(&(10 * REMEMBERED - 1).to_string()));
    assert!(!told.has("0"));
}

#[test]
fn a_last_line_that_a_crash_has_torn_is_cut_off_and_noted_wherever_it_was_torn() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = process(folder.path(), SIZE);
    let id = write(&mut first, "one").log_id;
    let file = files(folder.path(), &id).remove(0);
    let before = fs::metadata(&file).unwrap().len();
    write(&mut first, "two");
    drop(first);
    let whole = fs::read(&file).unwrap();
    let last = &whole[usize::try_from(before).unwrap()..];
    for kept in [1, last.len() / 2, last.len() - 1] {
        let cut = usize::try_from(before).unwrap() + kept;
        fs::write(&file, &whole[..cut]).unwrap();
        let mut second = process(folder.path(), SIZE);
        write(&mut second, "two");
        let (lines, end) = lines(folder.path(), &id);
        assert_eq!(end.torn, None);
        let told: Vec<Event> = lines.iter().skip(2).map(|line| line.event).collect();
        assert_eq!(told, [Event::Torn, Event::Opened, Event::Result]);
        let torn = lines[2].torn.as_ref().unwrap();
        assert_eq!(torn.bytes, kept as u64);
        assert!(torn.digest.is_of(&last[..kept]));
    }
}

#[test]
fn a_full_file_is_followed_by_the_next_one_and_the_chain_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = process(folder.path(), 1024);
    let id = write(&mut writer, "0").log_id;
    for number in 1..20 {
        write(&mut writer, &number.to_string());
    }
    drop(writer);
    let written = files(folder.path(), &id);
    assert!(written.len() > 5, "{written:?}");
    for file in &written {
        assert!(fs::metadata(file).unwrap().len() <= 1024);
    }
    assert_eq!(lines(folder.path(), &id).1.lines, 21);

    // Older files are taken to where they are kept.
    for old in &written[..written.len() - 2] {
        fs::remove_file(old).unwrap();
    }
    let mut next = process(folder.path(), 1024);
    let written = write(&mut next, "20");
    assert_eq!((written.log_id, written.broken_logs), (id, Vec::new()));
}

#[test]
fn a_crash_between_two_files_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = process(folder.path(), SIZE);
    let id = write(&mut writer, "one").log_id;
    drop(writer);
    // The next file was made, and nothing is in it yet.
    fs::write(folder.path().join(&id).join("000000000003.jsonl"), "").unwrap();
    let mut next = process(folder.path(), SIZE);
    assert_eq!(write(&mut next, "two").log_id, id);
    assert_eq!(lines(folder.path(), &id).1.lines, 4);
    assert_eq!(files(folder.path(), &id).len(), 2);
    drop(next);
    // A line that was torn before its file had any.
    let newest = files(folder.path(), &id).remove(1);
    fs::write(&newest, "{\"logId\":").unwrap();
    let mut next = process(folder.path(), SIZE);
    assert_eq!(write(&mut next, "two").log_id, id);
    assert_eq!(
        events(folder.path(), &id)[2..],
        [Event::Torn, Event::Opened, Event::Result]
    );
}

#[test]
fn a_process_that_died_before_its_first_line_leaves_a_log_that_can_be_begun() {
    let folder = tempfile::tempdir().unwrap();
    let id = "20260302T100000Z-0123456789abcdef";
    fs::create_dir(folder.path().join(id)).unwrap();
    let mut writer = process(folder.path(), SIZE);
    assert_eq!(write(&mut writer, "one").log_id, id);
    assert_eq!(events(folder.path(), id), [Event::Opened, Event::Result]);
}

#[test]
fn nobody_goes_on_in_a_log_that_was_changed_and_a_new_one_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = process(folder.path(), SIZE);
    let broken = write(&mut writer, "one").log_id;
    write(&mut writer, "two");
    drop(writer);
    let file = files(folder.path(), &broken).remove(0);
    let changed = fs::read_to_string(&file)
        .unwrap()
        .replacen("Promoted", "Rejected", 1);
    fs::write(&file, &changed).unwrap();

    let mut next = process(folder.path(), SIZE);
    let written = write(&mut next, "three");
    assert_ne!(written.log_id, broken);
    assert_eq!(written.broken_logs, std::slice::from_ref(&broken));
    let opened = lines(folder.path(), &written.log_id).0.remove(0);
    assert_eq!(opened.broken_logs, std::slice::from_ref(&broken));
    let message = opened.message.unwrap();
    assert!(
        message.contains(&broken) && message.contains("line 2"),
        "{message}"
    );
    assert_eq!(
        fs::read_to_string(&file).unwrap(),
        changed,
        "it is left as it is"
    );
    drop(next);

    // The next one goes on in the new log.
    let mut last = process(folder.path(), SIZE);
    assert_eq!(write(&mut last, "four").log_id, written.log_id);
    assert_eq!(logs(folder.path()).len(), 2);
}

#[test]
fn every_way_to_break_a_log_is_seen_when_it_is_opened() {
    type Break = fn(&Path, &[PathBuf]);
    let ways: [(&str, Break); 6] = [
        ("a line is gone", |_, files| {
            let before = &files[files.len() - 2];
            let text = fs::read_to_string(before).unwrap();
            let left: Vec<&str> = text.split_inclusive('\n').skip(1).collect();
            fs::write(before, left.concat()).unwrap();
        }),
        ("the newest file is under another name", |folder, files| {
            let other = folder.join("000000000099.jsonl");
            fs::rename(&files[files.len() - 1], other).unwrap();
        }),
        ("the file before is cut in a line", |_, files| {
            let before = &files[files.len() - 2];
            let length = fs::metadata(before).unwrap().len();
            let file = OpenOptions::new().write(true).open(before).unwrap();
            file.set_len(length - 1).unwrap();
        }),
        (
            "the file before is gone and the newest is empty",
            |folder, files| {
                for file in files {
                    fs::remove_file(file).unwrap();
                }
                fs::write(folder.join("000000000099.jsonl"), "").unwrap();
            },
        ),
        ("it is the copy of another log", |folder, _| {
            let other = folder.with_file_name("20990101T000000Z-0123456789abcdef");
            fs::rename(folder, other).unwrap();
        }),
        ("a bit of the last line has flipped", |_, files| {
            let mut bytes = fs::read(&files[files.len() - 1]).unwrap();
            let at = bytes.len() - 50;
            bytes[at] ^= 1;
            fs::write(&files[files.len() - 1], bytes).unwrap();
        }),
    ];
    for (what, way) in ways {
        let root = tempfile::tempdir().unwrap();
        let mut writer = process(root.path(), 2048);
        let id = write(&mut writer, "0").log_id;
        for number in 1..12 {
            write(&mut writer, &number.to_string());
        }
        drop(writer);
        way(&root.path().join(&id), &files(root.path(), &id));
        let written = write(&mut process(root.path(), 2048), "more");
        assert_eq!(written.broken_logs.len(), 1, "{what}");
        assert_ne!(written.log_id, id, "{what}");
    }
}

#[test]
fn a_log_that_another_process_writes_is_left_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let (mut one, mut other) = (process(folder.path(), SIZE), process(folder.path(), SIZE));
    let first = write(&mut one, "one").log_id;
    let second = write(&mut other, "two").log_id;
    assert_ne!(first, second);
    write(&mut one, "three");
    assert_eq!(lines(folder.path(), &first).1.lines, 3);
    assert_eq!(lines(folder.path(), &second).1.lines, 2);
}

#[test]
fn folders_and_files_of_others_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("lost+found")).unwrap();
    fs::write(folder.path().join("notes.txt"), "mine").unwrap();
    let mut writer = process(folder.path(), SIZE);
    write(&mut writer, "one");
    assert_eq!(logs(folder.path()).len(), 3);
    assert_eq!(
        fs::read_dir(folder.path().join("lost+found"))
            .unwrap()
            .count(),
        0
    );
}

#[test]
fn a_folder_that_cannot_be_used_is_an_error_and_serves_again_when_it_can() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("audit");
    fs::write(&folder, "a file where the volume should be").unwrap();
    let mut writer = process(&folder, SIZE);
    let refused = writer
        .write(Some(ended("one")), at(1))
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains("audit") && refused.contains("cannot be written"),
        "{refused}"
    );
    fs::remove_file(&folder).unwrap();
    let id = write(&mut writer, "one").log_id;
    assert_eq!(events(&folder, &id), [Event::Opened, Event::Result]);
}

/// The limit of the size of files stands for the end of the disk: a write stops in the middle of a line.
#[test]
fn on_a_full_disk_a_line_fails_and_when_there_is_room_again_the_log_goes_on() {
    const NAME: &str = "effects::audit_log::tests::on_a_full_disk_a_line_fails_and_when_there_is_room_again_the_log_goes_on";
    if std::env::var_os("FLOE_TEST_LIMITED").is_none() {
        // Without the trap the first write over the limit would end the process.
        let script = r#"trap "" XFSZ; ulimit -S -f 8; exec "$0" --exact "$1" --nocapture"#;
        let program = std::env::current_exe().unwrap();
        let mut limited = Command::new("bash");
        limited.args(["-c", script]).arg(program).arg(NAME);
        let output = started(limited.env("FLOE_TEST_LIMITED", "1"));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{text}");
        assert!(text.contains("1 passed"), "{text}");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut writer = process(folder.path(), SIZE);
    let id = write(&mut writer, "0").log_id;
    let full = (1..100).find_map(|number: i64| {
        let failed = writer
            .write(Some(ended(&number.to_string())), at(number))
            .err()?;
        Some((number, failed))
    });
    let (number, failed) = full.expect("the limit is reached");
    assert!(matches!(failed, Unwritable::Refused(_)), "{failed}");
    for _ in 0..3 {
        let again = writer.write(Some(ended(&number.to_string())), at(200));
        assert!(again.is_err(), "it is written although there is no room");
    }
    let own = std::process::id().to_string();
    let raised = Command::new("prlimit")
        .args(["--pid", &own, "--fsize=unlimited"])
        .status();
    assert!(raised.unwrap().success());
    let written = write(&mut writer, &number.to_string());
    assert_eq!(
        (written.log_id, written.broken_logs),
        (id.clone(), Vec::new())
    );
    let (lines, end) = lines(folder.path(), &id);
    assert_eq!(end.torn, None);
    let told = lines.iter().filter_map(|line| line.request.as_ref());
    let told: Vec<String> = told.map(|about| about.uid.clone()).collect();
    let wanted: Vec<String> = (0..=number).map(|number| number.to_string()).collect();
    assert_eq!(told, wanted, "each line once, in its order");
}

#[tokio::test]
async fn a_disk_that_hangs_holds_up_nobody_longer_than_the_limit() {
    let root = tempfile::tempdir().unwrap();
    let log = root.path().join("20260302T100000Z-0123456789abcdef");
    fs::create_dir(&log).unwrap();
    // To open it for writing waits for somebody who reads.
    let lock = log.join("lock");
    let made = started(Command::new("mkfifo").arg(&lock));
    assert!(made.status.success());
    let place = Place::Folder {
        path: root.path().to_owned(),
        file_size: SIZE,
    };
    let audit_log = AuditLog::start(place, "floe-0".to_owned()).unwrap();
    let hung = audit_log.write(ended("one"), at(1)).await;
    assert_eq!(hung, Err(Unwritable::TooSlow));
    // Somebody who reads lets the thread go on; what it was asked for then counts for nothing any more.
    let reader = OpenOptions::new().read(true).write(true).open(&lock);
    fs::remove_file(&lock).unwrap();
    let written = audit_log.write(ended("two"), at(2)).await;
    drop(reader);
    // The pipe is no file that can be locked for good: what matters is that the thread answers again.
    assert_ne!(written, Err(Unwritable::Ended));
    assert_ne!(written, Err(Unwritable::TooSlow));
}

#[tokio::test]
async fn lines_asked_for_at_once_are_one_chain() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::Folder {
        path: folder.path().to_owned(),
        file_size: 4096,
    };
    let log = AuditLog::start(place, "floe-0".to_owned()).unwrap();
    let all = (0..100).map(|number| {
        let log = log.clone();
        async move { log.write(ended(&number.to_string()), at(1)).await }
    });
    let written = futures::future::join_all(all).await;
    let id = written[0].as_ref().unwrap().log_id.clone();
    assert!(written.iter().all(Result::is_ok));
    assert_eq!(lines(folder.path(), &id).1.lines, 101);
}

#[test]
fn a_name_is_one_that_is_recognised_and_no_two_are_the_same() {
    let one = new_id(at(1_772_445_600));
    assert!(one.starts_with("20260302T100000Z-"), "{one}");
    assert_ne!(one, new_id(at(1_772_445_600)));
}

#[test]
fn a_folder_whose_file_is_appended_to_by_somebody_else_is_broken() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = process(folder.path(), SIZE);
    let id = write(&mut writer, "one").log_id;
    drop(writer);
    let file = files(folder.path(), &id).remove(0);
    let mut file = OpenOptions::new().append(true).open(file).unwrap();
    file.write_all(b"{}\n").unwrap();
    let written = write(&mut process(folder.path(), SIZE), "two");
    assert_eq!(written.broken_logs, [id]);
}

#[test]
fn the_newest_promotion_is_known_to_who_wrote_it_and_to_the_next_process() {
    let folder = tempfile::tempdir().unwrap();
    let chain = ChainName {
        space: "team".to_owned(),
        environment: "dev".to_owned(),
        artifact: "app".to_owned(),
        repository: "registry.example/app".to_owned(),
    };
    let mut entry = ended("one");
    entry.request = Some(About {
        uid: "one".to_owned(),
        space: chain.space.clone(),
        environment: chain.environment.clone(),
        artifact: Some(chain.artifact.clone()),
        repository: Some(chain.repository.clone()),
        version: "v1.0.0".to_owned(),
        digest: Some("sha256:aaa".to_owned()),
        ..About::default()
    });
    entry.decided_at = Some(at(900));
    entry.chain = Some(Chain {
        sequence: Some(3),
        record: Some(Digest::of(b"record").to_string()),
        referrer: Some(Digest::of(b"referrer").to_string()),
    });
    let known = |writer: &Writer| {
        let newest = lock(&writer.newest).of(&chain).cloned()?;
        Some((newest.version, newest.recorded.sequence))
    };
    let newest = Some(("v1.0.0".to_owned(), 3));
    let mut first = process(folder.path(), SIZE);
    first.write(Some(entry), at(1000)).unwrap();
    assert_eq!(known(&first), newest);
    drop(first);
    let mut second = process(folder.path(), SIZE);
    assert_eq!(known(&second), None, "it has not opened the log");
    second.write(None, at(1001)).unwrap();
    assert_eq!(known(&second), newest);
}
