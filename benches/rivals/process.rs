//! What the system says of a process.

use std::fs;

/// A process by its number.
#[derive(Debug, Clone, Copy)]
pub struct Process(pub u32);

impl Process {
    /// What it has of the memory now, in MB (10^6 bytes).
    pub fn memory(self) -> f64 {
        self.status("VmRSS:")
    }

    /// The most that it had.
    pub fn peak_memory(self) -> f64 {
        self.status("VmHWM:")
    }

    fn status(self, name: &str) -> f64 {
        let text = fs::read_to_string(format!("/proc/{}/status", self.0)).expect("/proc (this needs Linux)");
        let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("a figure");
        let kilobytes: f64 = line.trim().trim_end_matches(" kB").parse().expect("a figure");
        kilobytes * 1024.0 / 1e6
    }

    /// Processor time so far, in ms, of the threads that there are: the scheduler counts nanoseconds, where `stat` has steps of 10 ms.
    pub fn processor_time(self) -> f64 {
        let threads = fs::read_dir(format!("/proc/{}/task", self.0)).into_iter().flatten().flatten();
        let times = threads.filter_map(|thread| fs::read_to_string(thread.path().join("schedstat")).ok());
        times.filter_map(|time| time.split(' ').next()?.parse::<f64>().ok()).sum::<f64>() / 1e6
    }

    /// The same of a server with all of its processes, those that have ended included.
    pub fn processor_time_with_children(self) -> f64 {
        let children = fs::read_dir("/proc").expect("/proc").flatten().filter_map(|entry| {
            let process = Process(entry.file_name().to_str()?.parse().ok()?);
            (process.stat()?.get(1)? == &self.0.to_string()).then_some(process)
        });
        self.processor_time() + self.ticks(&[13, 14]) * 10.0 + children.map(Process::processor_time).sum::<f64>()
    }

    fn ticks(self, fields: &[usize]) -> f64 {
        let Some(stat) = self.stat() else { return 0.0 };
        fields.iter().map(|field| stat[*field].parse::<f64>().expect("a figure")).sum()
    }

    /// The fields behind the name, which may have spaces: state, parent, ...
    fn stat(self) -> Option<Vec<String>> {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.0)).ok()?;
        Some(text.rsplit_once(") ")?.1.split(' ').map(str::to_owned).collect())
    }
}
