package calibrate

import (
	"math"
	"slices"
)

// terms is the number of coefficients.
const terms = 5

type vector [terms]float64

// normal is a least-squares problem in its normal equations: the sums of a sample's row times itself, and times what it
// measured. Few columns make it the quickest form, and the one that resampling needs.
type normal struct {
	a [terms]vector
	b vector
	y float64 // sum of squares of what was measured
}

func (n *normal) add(row *vector, y float64) { n.addWeighted(row, y, 1) }

// addWeighted adds a sample that counts as so many.
func (n *normal) addWeighted(row *vector, y, weight float64) {
	for i := range terms {
		for j := range terms {
			n.a[i][j] += weight * row[i] * row[j]
		}
		n.b[i] += weight * row[i] * y
	}
	n.y += weight * y * y
}

// residual is the sum of squared errors of a solution.
func (n *normal) residual(x *vector) float64 {
	r := n.y
	for i := range terms {
		r -= 2 * x[i] * n.b[i]
		for j := range terms {
			r += x[i] * n.a[i][j] * x[j]
		}
	}
	return r
}

// nonNegative returns the solution without negative members that has the least residual. The optimum is the plain solution on the
// columns that are not zero in it (Lawson and Hanson, Solving Least Squares Problems, 1974, chapter 23), and with so few
// columns every set of them can be tried, so there is no iteration that could fail to end.
func (n *normal) nonNegative() vector {
	var best vector
	least := math.Inf(1)
	for set := range 1 << terms { // the empty one solves for zeros
		x, ok := n.solve(set)
		if !ok || slices.Min(x[:]) < 0 {
			continue
		}
		if r := n.residual(&x); r < least {
			least, best = r, x
		}
	}
	return best
}

// solve returns the plain solution on a set of columns, whatever its signs, by Cholesky's decomposition; false where the columns
// are not independent.
func (n *normal) solve(set int) (x vector, ok bool) {
	at := make([]int, 0, terms)
	for i := range terms {
		if set>>i&1 == 1 {
			if n.a[i][i] <= 0 {
				return x, false
			}
			at = append(at, i)
		}
	}
	k := len(at)
	l, z := make([]vector, k), make([]float64, k)
	for i := range k {
		for j := range i + 1 {
			s := n.scaled(at[i], at[j])
			for m := range j {
				s -= l[i][m] * l[j][m]
			}
			if i != j {
				l[i][j] = s / l[j][j]
				continue
			}
			if s < 1e-12 { // of 1: the column is a sum of others, to the precision of floats
				return x, false
			}
			l[i][i] = math.Sqrt(s)
		}
		z[i] = n.b[at[i]] / math.Sqrt(n.a[at[i]][at[i]])
		for m := range i {
			z[i] -= l[i][m] * z[m]
		}
		z[i] /= l[i][i]
	}
	for i := k - 1; i >= 0; i-- {
		for m := i + 1; m < k; m++ {
			z[i] -= l[m][i] * z[m]
		}
		z[i] /= l[i][i]
	}
	for i := range k {
		x[at[i]] = z[i] / math.Sqrt(n.a[at[i]][at[i]])
	}
	return x, true
}

// scaled is a member of the matrix with columns scaled to length one.
func (n *normal) scaled(i, j int) float64 { return n.a[i][j] / math.Sqrt(n.a[i][i]*n.a[j][j]) }

// tolerance is the share of a column that the other columns of a set do not explain: 1 where it stands alone, 0 where it is a sum
// of them (the inverse of the variance inflation factor).
func (n *normal) tolerance(column, set int) float64 {
	o := normal{y: n.a[column][column]}
	for i := range terms {
		if i == column || set>>i&1 == 0 {
			continue
		}
		o.b[i] = n.a[i][column]
		for j := range terms {
			if j != column && set>>j&1 == 1 {
				o.a[i][j] = n.a[i][j]
			}
		}
	}
	x, ok := o.solve(set &^ (1 << column))
	if !ok {
		return 0
	}
	return max(o.residual(&x), 0) / o.y
}
