package config

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// keyType is a type of key: how its value is made of what was read. convert
// reports what is wrong and gives false; it gives nil and true for "as if the
// key were not there". All rules are those of spec configuration 5 and, for
// version 2, 8.
type keyType struct {
	name    string // as in the help
	convert func(c *conversion, v value) (any, bool)
}

// The types that are named in the specification.
var (
	textType  = &keyType{"string", func(c *conversion, v value) (any, bool) { return c.asText(v) }}
	floatType = &keyType{"float64", func(c *conversion, v value) (any, bool) { return c.asFloat(v) }}
	boolType  = &keyType{"bool", func(c *conversion, v value) (any, bool) { return c.asBool(v) }}
	textsType = &keyType{textsName, func(c *conversion, v value) (any, bool) { return c.asTexts(v) }}
	costsType = &keyType{"JSON dict of string to float64", func(c *conversion, v value) (any, bool) { return c.asCosts(v) }}
)

// textsName is the name of types that are lists of texts: on the command line
// such a key may be given more than once.
const textsName = "[]string (may be repeated)"

// mustBe reports a value of the wrong kind.
func (c *conversion) mustBe(what string, v value) bool {
	if v.kind == kindNull {
		return c.fail("", "has no value: must be %s", what)
	}
	return c.fail("", "must be %s, not %s", what, v.describe())
}

// asText takes texts, and numbers and booleans in a normal form, with a
// warning if that is not how they were written.
func (c *conversion) asText(v value) (string, bool) {
	var s string
	switch v.kind {
	case kindText:
		return v.text, true
	case kindInt:
		s = strconv.FormatInt(v.int, 10)
	case kindFloat:
		if c.form == mapForm {
			s = strconv.FormatFloat(v.float, 'f', -1, 64)
		} else {
			s = strconv.FormatFloat(v.float, 'f', 6, 64)
		}
	case kindBool:
		s = strconv.FormatBool(v.bool)
		if c.form == mapForm {
			s = "0"
			if v.bool {
				s = "1"
			}
		}
	case kindHuge:
		return "", c.fail(fmt.Sprintf("put it in quotes: %q", v.text), "number too large")
	default:
		return "", c.mustBe("a text", v)
	}
	if s != v.text {
		c.warn("%s becomes the text %q; put it in quotes if that is not meant", v.describe(), s)
	}
	return s, true
}

// asInt takes integers, floats without their fraction, and texts with the
// prefix of their base.
func (c *conversion) asInt(v value) (int64, bool) {
	switch v.kind {
	case kindInt:
		return v.int, true
	case kindFloat:
		if !(math.Abs(v.float) < 1<<62) {
			return 0, c.fail("", "%s is not an integer", v.text)
		}
		n := int64(v.float)
		if float64(n) != v.float {
			c.warn("%s is cut to %d", v.text, n)
		}
		return n, true
	case kindText:
		n, err := strconv.ParseInt(v.text, 0, 64)
		if err != nil {
			return 0, c.fail("", "%q is not an integer", v.text)
		}
		return n, true
	case kindHuge:
		return 0, c.fail("", "number too large: %s", v.text)
	}
	return 0, c.mustBe("an integer", v)
}

// asFloat takes numbers and texts.
func (c *conversion) asFloat(v value) (float64, bool) {
	switch v.kind {
	case kindInt, kindHuge, kindFloat:
		return v.float, true
	case kindText:
		f, err := strconv.ParseFloat(v.text, 64)
		if err != nil {
			return 0, c.fail("", "%q is not a number", v.text)
		}
		return f, true
	}
	return 0, c.mustBe("a number", v)
}

// asBool takes booleans and certain texts, by letter case too, and in version 2
// the numbers 0 and 1.
func (c *conversion) asBool(v value) (bool, bool) {
	const hint = "write true or false"
	switch v.kind {
	case kindBool:
		return v.bool, true
	case kindText:
		switch v.text {
		case "1", "t", "T", "Y", "true", "TRUE", "True", "yes", "Yes", "YES":
			return true, true
		case "0", "f", "F", "N", "false", "FALSE", "False", "no", "No", "NO":
			return false, true
		}
		return false, c.fail(hint, "%q is not a boolean", v.text)
	case kindInt:
		if c.form == mapForm && (v.int == 0 || v.int == 1) {
			return v.int == 1, true
		}
		return false, c.fail(hint, "must be a boolean, not %s", v.describe())
	}
	return false, c.mustBe("a boolean", v)
}

// asTexts takes a list of texts, one text, or a JSON list as text. The list is
// not nil, however empty: an empty list is not the same as none.
func (c *conversion) asTexts(v value) ([]string, bool) {
	list := []string{}
	switch v.kind {
	case kindNull:
		c.warn("has no value, which is an empty list")
		return list, true
	case kindInt, kindBool, kindFloat:
		if c.form != mapForm {
			break
		}
		s, ok := c.asText(v)
		return append(list, s), ok
	case kindText:
		return c.splitText(v.text)
	case kindList:
		for _, e := range v.list {
			switch {
			case e.kind == kindText && c.form == argsForm:
				more, ok := c.splitText(e.text)
				if !ok {
					return nil, false
				}
				list = append(list, more...)
				continue
			case e.kind == kindText:
				list = append(list, e.text)
				continue
			case c.form == mapForm && (e.kind == kindInt || e.kind == kindFloat || e.kind == kindBool):
				s, _ := c.asText(e)
				list = append(list, s)
				continue
			}
			return nil, c.fail(quoteHint(e), "must be a list of texts, but has %s in it", e.describe())
		}
		return list, true
	}
	return nil, c.mustBe("a list of texts", v)
}

// splitText makes a list of one text: JSON, or one entry, or in version 2
// entries with commas between them.
func (c *conversion) splitText(s string) ([]string, bool) {
	list := []string{}
	switch {
	case c.form == mapForm && s == "":
		return list, true
	case c.form == mapForm:
		return strings.Split(s, ","), true
	case !strings.HasPrefix(s, "["):
		if strings.Contains(s, ",") {
			c.warn("%q is one entry: a text is not split at commas", s)
		}
		return append(list, s), true
	}
	if err := json.Unmarshal([]byte(s), &list); err != nil {
		return nil, c.fail("", "not a JSON list of texts: %v", err)
	}
	return list, true
}

// asCosts takes a map of numbers by node, or such a map in JSON as text.
func (c *conversion) asCosts(v value) (map[string]float64, bool) {
	costs := make(map[string]float64)
	switch v.kind {
	case kindNull:
		return costs, true
	case kindText:
		if !strings.HasPrefix(v.text, "{") {
			break
		}
		if err := json.Unmarshal([]byte(v.text), &costs); err != nil {
			return nil, c.fail("", "not a JSON map of numbers: %v", err)
		}
		return costs, true
	case kindDict:
		for _, e := range v.dict {
			if e.key.kind != kindText {
				return nil, c.fail(quoteHint(e.key), "must be a map of node IDs to numbers, but has %s as a node ID", e.key.describe())
			}
			if id := e.key.text; c.form == mapForm && strings.ToLower(id) != id {
				c.warn("ansible/receptor reads the node ID %q in lower case here", id)
			}
			switch {
			case e.value.kind == kindText && c.form == mapForm:
				f, err := strconv.ParseFloat(e.value.text, 64)
				if err != nil {
					return nil, c.fail("", "the cost of %q must be a number, not %q", e.key.text, e.value.text)
				}
				costs[e.key.text] = f
			case e.value.kind == kindInt, e.value.kind == kindHuge, e.value.kind == kindFloat:
				costs[e.key.text] = e.value.float
			default:
				return nil, c.fail("", "the cost of %q must be a number, not %s", e.key.text, e.value.describe())
			}
		}
		return costs, true
	}
	return nil, c.mustBe("a map of node IDs to numbers", v)
}

// quoteHint suggests quotes around a scalar that was meant as a text.
func quoteHint(v value) string {
	switch v.kind {
	case kindBool, kindInt, kindHuge, kindFloat:
		return fmt.Sprintf("put it in quotes: %q", v.text)
	}
	return ""
}
