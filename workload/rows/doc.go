// Package rows reads the rows of files that hold traffic, as streams of bounded memory: CSV and JSON, also compressed by gzip. It keeps count of rows that are
// left out, and of times that no row covers; what rows mean is for others.
package rows
