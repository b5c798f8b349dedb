//! Where a run takes place: the host, the memory used, the project's commit.

use std::fs;
use std::path::Path;

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

/// The most memory that this process has had, in bytes: `VmHWM` of Linux.
pub(crate) fn peak_memory_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
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
    fn linux_tells_the_peak_memory() {
        assert!(peak_memory_bytes().is_some_and(|bytes| bytes > 100_000));
    }
}
