//! The control groups that this process is in: each of them, up to the root, may hold back memory and processor time
//! (kernel documentation, "Control Group v2"; for older systems "Memory Resource Controller" and "CFS Bandwidth Control").

use std::path::{Component, Path, PathBuf};

use super::machine::Tree;

/// The folders of this process's groups, the innermost first.
pub(super) struct Group {
    unified: Vec<PathBuf>,
    /// Version 1 has a tree of its own for each controller.
    memory: Vec<PathBuf>,
    cpu: Vec<PathBuf>,
}

/// What a group may hold and holds, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Room {
    /// Where that is said.
    pub(super) group: String,
    pub(super) most: u64,
    /// Without files of which there is a copy on disk: the kernel drops those first.
    pub(super) used: u64,
}

/// From this on, version 1 means "no limit": it says 2⁶³ rounded down to a page.
const UNLIMITED: u64 = 1 << 62;

impl Group {
    pub(super) fn of(tree: &Tree<'_>) -> Self {
        let text = tree.text("proc/self/cgroup").unwrap_or_default();
        // hierarchy:controllers:path (cgroups(7))
        let path = |wanted: &dyn Fn(&str) -> bool| {
            text.lines().find_map(|line| {
                let mut parts = line.splitn(3, ':');
                let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
                wanted(controllers).then_some(path)
            })
        };
        let one = |name: &'static str| path(&move |controllers| controllers.split(',').any(|one| one == name));
        let unified = path(&str::is_empty);
        Self {
            // Systems with both versions have the second one below "unified".
            unified: ["sys/fs/cgroup", "sys/fs/cgroup/unified"].iter().flat_map(|base| up(base, unified)).collect(),
            memory: up("sys/fs/cgroup/memory", one("memory")),
            cpu: up("sys/fs/cgroup/cpu", one("cpu")),
        }
    }

    /// Every limit on memory on the way up.
    pub(super) fn memory(&self, tree: &Tree<'_>) -> Vec<Room> {
        let room = |group: &PathBuf, most: &str, used: &str, files: &str| {
            let most = tree.number(group.join(most)).filter(|most| *most < UNLIMITED)?;
            let files = tree.keyed(group.join("memory.stat"), files).unwrap_or(0);
            let used = tree.number(group.join(used)).unwrap_or(0).saturating_sub(files);
            Some(Room { group: format!("/{}", group.display()), most, used })
        };
        let new = self.unified.iter().filter_map(|group| room(group, "memory.max", "memory.current", "inactive_file "));
        let old = self.memory.iter();
        let old = old.filter_map(|group| room(group, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file "));
        new.chain(old).collect()
    }

    /// The least number of cores that a group on the way up allows on average.
    pub(super) fn quota(&self, tree: &Tree<'_>) -> Option<f64> {
        let new = self.unified.iter().filter_map(|group| {
            let text = tree.text(group.join("cpu.max"))?;
            let mut words = text.split_ascii_whitespace();
            cores(words.next()?.parse().ok()?, words.next()?.parse().ok()?)
        });
        let old = self.cpu.iter().filter_map(|group| {
            // -1 for none is no number here.
            cores(tree.number(group.join("cpu.cfs_quota_us"))?, tree.number(group.join("cpu.cfs_period_us"))?)
        });
        new.chain(old).min_by(f64::total_cmp)
    }
}

fn cores(quota_us: u64, period_us: u64) -> Option<f64> {
    (period_us > 0).then(|| quota_us as f64 / period_us as f64)
}

/// A group's folder and those above it. Within a container the path may lead out of what can be seen: such steps are left out.
fn up(base: &str, path: Option<&str>) -> Vec<PathBuf> {
    let Some(path) = path else { return Vec::new() };
    let steps: PathBuf = Path::new(path).components().filter(|step| matches!(step, Component::Normal(_))).collect();
    // Joined to nothing, the root would end in a slash.
    let join = |above: &Path| if above.as_os_str().is_empty() { base.into() } else { Path::new(base).join(above) };
    steps.ancestors().map(join).collect()
}
