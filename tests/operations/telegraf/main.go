// Evaluates the queries of config/telegraf.conf with the XPath and JSON libraries that Telegraf itself is built with, in the order and by the rules that
// its documentation of the xpath parser states: a query that begins with a slash starts at the document, any other at the selected node; a query for
// a node gives that node's value as it is in JSON (xpath_native_types), and no field where there is none.
//
// Standard input: {"selection": "…", "name": "…", "timestamp": "…", "tags": {…}, "fields": {…}, "packs": ["…"]}. Standard output: for each pack a list of metrics.
package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"strings"

	"github.com/antchfx/jsonquery"
	"github.com/antchfx/xpath"
)

type queries struct {
	Selection, Name, Timestamp string
	Tags, Fields               map[string]string
	Packs                      []string
}

type metric struct {
	Name   interface{}            `json:"name"`
	Time   interface{}            `json:"time"`
	Tags   map[string]interface{} `json:"tags"`
	Fields map[string]interface{} `json:"fields"`
}

func value(document, selected *jsonquery.Node, query string) (interface{}, error) {
	root := selected
	if strings.HasPrefix(query, "/") {
		root = document
	}
	compiled, err := xpath.Compile(query)
	if err != nil {
		return nil, err
	}
	found := compiled.Evaluate(jsonquery.CreateXPathNavigator(root))
	nodes, isNodes := found.(*xpath.NodeIterator)
	if !isNodes {
		if number, isNumber := found.(float64); isNumber && math.IsNaN(number) {
			return "NaN", nil // which JSON cannot say, and PostgreSQL can store
		}
		return found, nil
	}
	if !nodes.MoveNext() {
		return nil, nil
	}
	return nodes.Current().(*jsonquery.NodeNavigator).GetValue(), nil
}

func all(document, selected *jsonquery.Node, asked map[string]string) (map[string]interface{}, error) {
	found := map[string]interface{}{}
	for name, query := range asked {
		one, err := value(document, selected, query)
		if err != nil {
			return nil, err
		}
		if one != nil {
			found[name] = one
		}
	}
	return found, nil
}

func metrics(asked queries, pack string) ([]metric, error) {
	document, err := jsonquery.Parse(strings.NewReader(pack))
	if err != nil {
		return nil, err
	}
	nodes, err := jsonquery.QueryAll(document, asked.Selection)
	if err != nil {
		return nil, err
	}
	found := []metric{}
	for _, node := range nodes {
		one := metric{}
		if one.Name, err = value(document, node, asked.Name); err != nil {
			return nil, err
		}
		if one.Time, err = value(document, node, asked.Timestamp); err != nil {
			return nil, err
		}
		if one.Tags, err = all(document, node, asked.Tags); err != nil {
			return nil, err
		}
		if one.Fields, err = all(document, node, asked.Fields); err != nil {
			return nil, err
		}
		found = append(found, one)
	}
	return found, nil
}

func main() {
	var asked queries
	if err := json.NewDecoder(os.Stdin).Decode(&asked); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	answers := [][]metric{}
	for _, pack := range asked.Packs {
		found, err := metrics(asked, pack)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		answers = append(answers, found)
	}
	json.NewEncoder(os.Stdout).Encode(answers)
}
