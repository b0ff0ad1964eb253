// Package server wires Forebay together: it is the only package that names concrete
// engines and stores. New builds everything from a configuration, Run serves until its
// context ends, then drains.
package server
