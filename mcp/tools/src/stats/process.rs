//! Figures of this process and its disk as the operating system tells them; what it does not tell is absent.

use std::path::Path;

/// Clock ticks a second in which CPU time is told; Linux fixes it for all programs.
pub(crate) const TICKS_PER_S: u64 = 100;

/// CPU time in user and system mode, in ticks.
pub(crate) fn cpu_ticks() -> Option<(u64, u64)> {
    let text = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is a name in parentheses that may hold blanks.
    let mut fields = text.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

/// Resident and mapped memory, in bytes.
pub(crate) fn memory_bytes() -> Option<(u64, u64)> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1_024)
    };
    Some((field("VmRSS:")?, field("VmSize:")?))
}

/// Open files of this process, and how many it may open.
pub(crate) fn open_files() -> Option<(u64, u64)> {
    let open = std::fs::read_dir("/proc/self/fd").ok()?.count() as u64;
    let text = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    let soft = line.split_ascii_whitespace().next()?;
    Some((open, soft.parse().unwrap_or(u64::MAX)))
}

/// Free bytes for this user and all bytes of the disk that holds a folder.
#[cfg(unix)]
pub(crate) fn disk_bytes(folder: &Path) -> Option<(u64, u64)> {
    let stat = rustix::fs::statvfs(folder).ok()?;
    Some((stat.f_bavail.saturating_mul(stat.f_frsize), stat.f_blocks.saturating_mul(stat.f_frsize)))
}

/// Free bytes for this user and all bytes of the disk that holds a folder.
#[cfg(not(unix))]
pub(crate) fn disk_bytes(_: &Path) -> Option<(u64, u64)> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn the_system_tells_plausible_figures() {
        let (resident, mapped) = memory_bytes().expect("memory");
        assert!(resident > 100_000 && mapped >= resident, "{resident} of {mapped}");
        assert!(cpu_ticks().is_some());
        let (open, limit) = open_files().expect("files");
        assert!(open >= 3 && limit >= open);
        let (free, all) = disk_bytes(Path::new("/")).expect("a disk");
        assert!(free <= all && all > 0);
        assert!(disk_bytes(Path::new("/no/such/folder")).is_none());
    }
}
