//! Where a run takes place: the host, the memory used, the project's commit.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// The host's name, or `unknown`.
pub(crate) fn host() -> String {
    let kernel = fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let name = kernel
        .or_else(|| std::env::var("HOSTNAME").ok())
        .unwrap_or_default();
    match name.trim() {
        "" => "unknown".to_owned(),
        name => name.to_owned(),
    }
}

/// Measures the most memory that the process has from now on. Linux only.
///
/// Linux keeps the greatest amount since the process began. Where it rises
/// meanwhile, that is the answer to the byte. Where it does not, because more was
/// in use before, a thread looks every [`LOOK_EVERY`]. (Linux could be told to
/// begin anew, but others who ask, as `time`, would then be told too little.)
pub(crate) struct PeakMemory {
    greatest_before: Option<u64>,
    /// The most that was seen. The thread that looks ends when this is dropped, and
    /// is not waited for: most steps are shorter than waking it takes.
    seen: Arc<AtomicU64>,
}

/// Short beside the time in which memory is used up, long beside a look.
const LOOK_EVERY: Duration = Duration::from_millis(20);

impl PeakMemory {
    pub(crate) fn measure() -> Self {
        let seen = Arc::new(AtomicU64::new(0));
        let watched = Arc::downgrade(&seen);
        let look = move || {
            while let Some(seen) = watched.upgrade() {
                note_memory(&seen);
                drop(seen);
                thread::sleep(LOOK_EVERY);
            }
        };
        // Without the thread, peaks between begin and end may go unseen.
        let thread = thread::Builder::new().name("memory".to_owned());
        drop(thread.spawn(look));
        Self {
            greatest_before: memory(GREATEST),
            seen,
        }
    }

    /// The most there was, in bytes.
    pub(crate) fn bytes(&self) -> Option<u64> {
        let greatest = memory(GREATEST)?;
        if Some(greatest) > self.greatest_before {
            return Some(greatest);
        }
        note_memory(&self.seen);
        Some(self.seen.load(Ordering::Relaxed))
    }
}

fn note_memory(seen: &AtomicU64) {
    seen.fetch_max(memory(NOW).unwrap_or(0), Ordering::Relaxed);
}

/// Fields of `/proc/self/status`: what is in memory now, and was at most.
const NOW: &str = "VmRSS:";
const GREATEST: &str = "VmHWM:";

fn memory(field: &str) -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// The commit that the folder's git repository is at, read from its files: no
/// git is needed. `None` if there is no repository or no commit.
pub(crate) fn git_commit(folder: &Path) -> Option<String> {
    let folder = std::path::absolute(folder).ok()?;
    let git = folder
        .ancestors()
        .map(|f| f.join(".git"))
        .find(|git| git.exists())?;
    let git = follow_gitdir(&git)?;
    let head = fs::read_to_string(git.join("HEAD")).ok()?;
    let Some(branch) = head.trim().strip_prefix("ref: ") else {
        return as_commit(&head);
    };
    // Of a linked worktree, the branches lie in the main repository.
    let common = fs::read_to_string(git.join("commondir")).ok();
    let common = common.map_or(git.clone(), |path| git.join(path.trim()));
    let loose = fs::read_to_string(common.join(branch)).ok();
    loose
        .and_then(|text| as_commit(&text))
        .or_else(|| packed(&common, branch))
}

/// In a worktree or submodule `.git` is a file that says where the folder is.
fn follow_gitdir(git: &Path) -> Option<std::path::PathBuf> {
    if git.is_dir() {
        return Some(git.to_path_buf());
    }
    let text = fs::read_to_string(git).ok()?;
    let path = text.strip_prefix("gitdir: ")?.trim();
    Some(git.parent()?.join(path))
}

fn packed(git: &Path, branch: &str) -> Option<String> {
    let packed = fs::read_to_string(git.join("packed-refs")).ok()?;
    let line = packed
        .lines()
        .find(|line| line.split(' ').nth(1) == Some(branch))?;
    as_commit(line.split(' ').next()?)
}

fn as_commit(text: &str) -> Option<String> {
    let text = text.trim();
    let is_commit = text.len() >= 40 && text.bytes().all(|b| b.is_ascii_hexdigit());
    is_commit.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_commit(files: &[(&str, &str)], expected: Option<&str>) {
        let folder = tempfile::tempdir().expect("a folder");
        for (path, text) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().expect("has a parent")).expect("makes");
            fs::write(path, text).expect("writes");
        }
        let project = folder.path().join("project/below");
        fs::create_dir_all(&project).expect("makes");
        assert_eq!(git_commit(&project).as_deref(), expected);
    }

    #[test]
    fn a_commit_is_found_however_git_keeps_it() {
        let commit = &"4f".repeat(20);
        let line = &format!("{commit}\n");
        let packed = &format!("# pack-refs\n{commit} refs/heads/main\n");
        let head = "ref: refs/heads/main\n";
        check_commit(&[("project/.git/HEAD", line)], Some(commit));
        check_commit(
            &[
                ("project/.git/HEAD", head),
                ("project/.git/refs/heads/main", line),
            ],
            Some(commit),
        );
        check_commit(
            &[
                ("project/.git/HEAD", head),
                ("project/.git/packed-refs", packed),
            ],
            Some(commit),
        );
        check_commit(
            &[
                ("project/.git", "gitdir: ../main/.git/worktrees/w\n"),
                ("main/.git/worktrees/w/HEAD", head),
                ("main/.git/worktrees/w/commondir", "../..\n"),
                ("main/.git/refs/heads/main", line),
            ],
            Some(commit),
        );
        check_commit(&[("project/.git/HEAD", head)], None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn memory_counts_from_the_moment_of_asking() {
        let filled = |n_bytes: usize| std::hint::black_box(vec![1u8; n_bytes]);
        let most = |n_bytes: usize| {
            let memory = PeakMemory::measure();
            drop(filled(n_bytes));
            memory.bytes().expect("Linux tells")
        };
        let large = most(256 << 20);
        assert!(large > 256 << 20, "{large}");
        let small = most(1 << 20);
        assert!(
            (1 << 20..large / 2).contains(&small),
            "{small} after {large}"
        );
    }
}
