//! What the kernel's TCP has counted, for the whole network namespace: every process in it has a part in these numbers.

use std::fs;
use std::path::Path;

/// Counters of TCP since the namespace began. `None`: the system does not tell.
///
/// They belong to the network namespace and not to this process: with a stage, an agent or any other program beside it, one
/// cannot tell whose packets they were. Meaning of each: kernel documentation, "SNMP counter".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TcpCounters {
    /// SYN and SYN-ACK segments sent again (`TCPSynRetrans`).
    pub(crate) syn_retransmits: Option<u64>,
    /// Segments sent again, SYNs among them (`RetransSegs`).
    pub(crate) retransmits: Option<u64>,
    /// Connections that found an accept queue full (`ListenOverflows`).
    pub(crate) listen_overflows: Option<u64>,
    /// Connections that a listening socket dropped for any reason, a full accept queue among them (`ListenDrops`).
    pub(crate) listen_drops: Option<u64>,
}

/// Reads the counters below `root` in place of /.
pub(crate) fn read(root: &Path) -> TcpCounters {
    // Of a namespace that has no such file nothing is known, which is not the same as nothing happened.
    let text = |name| fs::read_to_string(root.join("proc/net").join(name)).unwrap_or_default();
    let (snmp, netstat) = (text("snmp"), text("netstat"));
    TcpCounters {
        syn_retransmits: counter(&netstat, "TcpExt:", "TCPSynRetrans"),
        retransmits: counter(&snmp, "Tcp:", "RetransSegs"),
        listen_overflows: counter(&netstat, "TcpExt:", "ListenOverflows"),
        listen_drops: counter(&netstat, "TcpExt:", "ListenDrops"),
    }
}

/// A counter in a file of pairs of lines: names, then values, both behind the name of their group (proc_pid_net(5)).
fn counter(text: &str, group: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(group));
    let (names, values) = (lines.next()?, lines.next()?);
    let at = names.split_ascii_whitespace().position(|found| found == name)?;
    values.split_ascii_whitespace().nth(at)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::fake::Tree;

    #[test]
    fn a_counter_is_found_by_its_name_wherever_a_kernel_puts_it() {
        for (text, found) in [
            ("", None),
            ("TcpExt: ListenDrops\n", None),
            ("TcpExt: ListenDrops\nTcpExt: 7\n", Some(7)),
            ("TcpExt: TW ListenDrops\nTcpExt: 1 0\nIpExt: ListenDrops\nIpExt: 9\n", Some(0)),
            ("IpExt: ListenDrops\nIpExt: 9\nTcpExt: ListenDrops TW\nTcpExt: 3 4\n", Some(3)),
            ("TcpExt: TW ListenDrops\nTcpExt: 1\n", None),
            ("TcpExt: ListenDrops\nTcpExt: many\n", None),
            ("TcpExt: ListenDropsToo\nTcpExt: 5\n", None),
            // A counter can be negative in theory (`MaxConn` is); one that is cannot be counted with.
            ("TcpExt: ListenDrops\nTcpExt: -1\n", None),
        ] {
            assert_eq!(counter(text, "TcpExt:", "ListenDrops"), found, "{text:?}");
        }
    }

    #[test]
    fn what_one_file_does_not_tell_is_absent_and_the_rest_is_there() {
        let tree = Tree::new();
        assert_eq!(read(tree.root()), TcpCounters::default());
        tree.write("proc/net/netstat", "TcpExt: SyncookiesSent ListenOverflows ListenDrops TCPSynRetrans\nTcpExt: 1 2 3 4\n");
        let some = TcpCounters { syn_retransmits: Some(4), retransmits: None, listen_overflows: Some(2), listen_drops: Some(3) };
        assert_eq!(read(tree.root()), some);
        tree.write("proc/net/snmp", "Ip: Forwarding\nIp: 1\nTcp: MaxConn RetransSegs\nTcp: -1 12\n");
        assert_eq!(read(tree.root()), TcpCounters { retransmits: Some(12), ..some });
    }

    #[test]
    fn this_kernel_tells_all_of_them() {
        let TcpCounters { syn_retransmits, retransmits, listen_overflows, listen_drops } = read(Path::new("/"));
        let told = [syn_retransmits, retransmits, listen_overflows, listen_drops];
        assert!(told.iter().all(Option::is_some), "{told:?}");
    }
}
