package trace

import "math"

// cache is the blocks of prompts that a cache of a time to live holds: a block is forgotten when it was not used for so long.
type cache struct {
	life  int64 // nanoseconds
	used  map[uint64]int64
	sweep int // how many blocks there are when those that are forgotten are looked for

	blocks, hits int64
	short        bool // it was cut to maxBlocks
}

// maxBlocks bounds the blocks of a cache, and with them its memory.
const maxBlocks = 1 << 22

func newCache(life int64) *cache { return &cache{life: life, used: map[uint64]int64{}, sweep: 1 << 16} }

// prompt returns how many blocks a prompt begins with that are in the cache, and puts all of them in.
func (c *cache) prompt(at int64, blocks []uint64) int {
	hits, hit := 0, true
	for _, b := range blocks {
		last, ok := c.used[b]
		if hit = hit && ok && at-last <= c.life; hit {
			hits++
		}
		c.used[b] = at
	}
	c.blocks += int64(len(blocks))
	c.hits += int64(hits)
	if len(c.used) >= c.sweep {
		c.forget(at)
	}
	return hits
}

// forget lets go of what is no longer in the cache, and of what was not used for the longest time if that is not enough.
func (c *cache) forget(at int64) {
	for life := c.life; ; life /= 2 {
		for b, last := range c.used {
			if at-last > life {
				delete(c.used, b)
			}
		}
		if len(c.used) < maxBlocks/2 || life == 0 {
			break
		}
		c.short = true
	}
	c.sweep = min(max(2*len(c.used), 1<<16), maxBlocks)
}

// share is the part of all blocks that were read from the cache.
func (c *cache) share() float64 { return float64(c.hits) / math.Max(float64(c.blocks), 1) }

// blockTokens are those of so many of a prompt's blocks: of a size, or in equal parts where it is not known.
func blockTokens(input int64, hits, blocks int, size int64) int64 {
	switch {
	case blocks == 0:
		return 0
	case size > 0:
		return min(int64(hits)*size, input)
	default:
		return input * int64(hits) / int64(blocks)
	}
}
