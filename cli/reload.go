package cli

import (
	"context"
	"log/slog"
	"os"
	"strings"

	"forebay/config"
	"forebay/server"
)

// logger returns the log of a server, and its level, which a reload may change.
func logger(cfg *config.Config, e *env) (*slog.Logger, *slog.LevelVar) {
	level := new(slog.LevelVar)
	setLevel(level, cfg)
	o := &slog.HandlerOptions{Level: level}
	if cfg.Logging.Format == "json" {
		return slog.New(slog.NewJSONHandler(e.Err, o)), level
	}
	return slog.New(slog.NewTextHandler(e.Err, o)), level
}

func setLevel(level *slog.LevelVar, cfg *config.Config) {
	var l slog.Level
	_ = l.UnmarshalText([]byte(cfg.Logging.Level)) // validated
	level.Set(l)
}

// hangups returns the channel of hangups, nil where there is none.
func (s *Streams) hangups() <-chan os.Signal {
	if s.Hangup == nil {
		return nil
	}
	return s.Hangup()
}

// reloads reads the configuration again at each hangup, until ctx ends. One that is wrong is
// refused with a line in the log, and what runs goes on.
func (f *serverFlags) reloads(ctx context.Context, hangup <-chan os.Signal, s *server.Server, log *slog.Logger, level *slog.LevelVar) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangup:
		}
		cfg, err := f.load()
		var restart []string
		if err == nil {
			restart, err = s.Reload(ctx, cfg)
		}
		if err != nil {
			log.ErrorContext(ctx, "the new configuration is refused, the old one stays", "faults", strings.ReplaceAll(err.Error(), "\n", "; "))
			continue
		}
		setLevel(level, &cfg)
		log.InfoContext(ctx, "the configuration was read again", "file", cfg.Path)
		if len(restart) > 0 {
			log.WarnContext(ctx, "some changes wait for a restart", "members", strings.Join(restart, ", "))
		}
	}
}
