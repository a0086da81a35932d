package main

import (
	"errors"
	"strconv"
	"strings"
)

// boolean is an option that wants a value, in any of the usual words.
type boolean bool

func (b *boolean) String() string { return strconv.FormatBool(bool(*b)) }
func (b *boolean) Type() string   { return "boolean" }

func (b *boolean) Set(s string) error {
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "1", "true", "t", "yes", "y", "on":
		*b = true
	case "0", "false", "f", "no", "n", "off":
		*b = false
	default:
		return errors.New("not a boolean")
	}
	return nil
}

// integer is a whole number in decimal.
type integer int

func (i *integer) String() string { return strconv.Itoa(int(*i)) }
func (i *integer) Type() string   { return "integer" }

func (i *integer) Set(s string) error {
	n, err := strconv.Atoi(strings.TrimSpace(s))
	*i = integer(n)
	return err
}

// float is a number.
type float float64

func (f *float) String() string { return strconv.FormatFloat(float64(*f), 'f', -1, 64) }
func (f *float) Type() string   { return "float" }

func (f *float) Set(s string) error {
	n, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	*f = float(n)
	return err
}
