package cli

import (
	"fmt"
	"syscall"

	"forebay/config"
)

// leastDisk is the free space below which a ledger should not be left alone.
const leastDisk = 1 << 30

// machine checks what a server needs of the machine: room for the ledger, and as many open
// files as connections, each with one to an engine.
func machine(cfg *config.Config, add func(name string, err error, ok string)) {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(cfg.DataDir, &fs); err == nil {
		free := fs.Bavail * uint64(fs.Bsize)
		detail := fmt.Sprintf("%.1f GiB are free for the ledger", float64(free)/(1<<30))
		if free < leastDisk {
			err = fmt.Errorf("%s: less than 1 GiB; a full disk refuses calls (ledger.on_ledger_failure)", detail)
		}
		add("disk", err, detail)
	}
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err == nil {
		detail := fmt.Sprintf("%d may be open at once", files.Cur)
		if want := 2 * uint64(max(cfg.Server.Connections, 0)); files.Cur < want && files.Max < want {
			detail += fmt.Sprintf("; server.max_connections may need %d (raise it with ulimit -n)", want)
		}
		add("open files", nil, detail)
	}
}
